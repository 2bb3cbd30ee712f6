"""Tasks: a causal model, its wording, its designs and its hypotheses, loaded from a project."""

from cfgen.tasks.answers import accepted_texts, candidates_of, output_texts
from cfgen.tasks.loading import find_task, list_tasks, load_task
from cfgen.tasks.records import (
    TEMPLATE_INPUT,
    Task,
    TaskDefinition,
    default_positions,
    get_named,
)

__all__ = [
    "TEMPLATE_INPUT",
    "Task",
    "TaskDefinition",
    "accepted_texts",
    "candidates_of",
    "default_positions",
    "find_task",
    "get_named",
    "list_tasks",
    "load_task",
    "output_texts",
]
