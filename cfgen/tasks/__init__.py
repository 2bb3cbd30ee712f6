"""Tasks: a causal model, its wording, its designs and its hypotheses, loaded from a project."""

from cfgen.tasks.loading import list_tasks, load_task
from cfgen.tasks.records import TEMPLATE_INPUT, Task, TaskDefinition, get_named

__all__ = ["TEMPLATE_INPUT", "Task", "TaskDefinition", "get_named", "list_tasks", "load_task"]
