"""Tasks: a causal model, its wording, its designs and its hypotheses, loaded from a project."""

from cfgen.tasks.loading import find_task, list_tasks, load_task
from cfgen.tasks.records import TEMPLATE_INPUT, Task, TaskDefinition, get_named

__all__ = [
    "TEMPLATE_INPUT",
    "Task",
    "TaskDefinition",
    "find_task",
    "get_named",
    "list_tasks",
    "load_task",
]
