"""Authoring: starting a task from files that work, and watching its files while it is written."""

from cfgen.authoring.scaffold import FILES, STARTER, new_task
from cfgen.authoring.watch import changed_files, file_stamps

__all__ = ["FILES", "STARTER", "changed_files", "file_stamps", "new_task"]
