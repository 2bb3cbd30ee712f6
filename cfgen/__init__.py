"""cfgen: design counterfactuals, generate datasets from them, and test causal hypotheses about LMs.

The names below are all there is to write a task and to run it; each is loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfgen.faces import lazy_face

if TYPE_CHECKING:
    from cfgen.causal import CausalModel as CausalModel
    from cfgen.causal import Setting as Setting
    from cfgen.causal import boolean as boolean
    from cfgen.causal import choice as choice
    from cfgen.causal import distinct as distinct
    from cfgen.causal import integers as integers
    from cfgen.counterfactuals import Design as Design
    from cfgen.counterfactuals import Hypothesis as Hypothesis
    from cfgen.counterfactuals import Site as Site
    from cfgen.counterfactuals import edits as edits
    from cfgen.datasets import generate as generate
    from cfgen.errors import CfgenError as CfgenError
    from cfgen.lm import load_lm as load_lm
    from cfgen.notebooks import run as run
    from cfgen.prompts import faker as faker
    from cfgen.prompts import lexicon as lexicon
    from cfgen.prompts import templates as templates
    from cfgen.tasks import TaskDefinition as TaskDefinition
    from cfgen.tasks import list_tasks as list_tasks
    from cfgen.tasks import load_task as load_task

__version__ = "0.1.0"

_HOME = {
    "CausalModel": "causal",
    "CfgenError": "errors",
    "Design": "counterfactuals",
    "Hypothesis": "counterfactuals",
    "Setting": "causal",
    "Site": "counterfactuals",
    "TaskDefinition": "tasks",
    "boolean": "causal",
    "choice": "causal",
    "distinct": "causal",
    "edits": "counterfactuals",
    "faker": "prompts",
    "generate": "datasets",
    "integers": "causal",
    "lexicon": "prompts",
    "list_tasks": "tasks",
    "load_lm": "lm",
    "load_task": "tasks",
    "run": "notebooks",
    "templates": "prompts",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazy_face(__name__, _HOME)
