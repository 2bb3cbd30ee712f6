"""The same hand-made pairs as in the tests of interventions."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_path = Path(__file__).parents[1] / "interventions" / "conftest.py"
_spec = importlib.util.spec_from_file_location("interventions_fixtures", _path)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

make = _module.make
answer = _module.answer
family_lm = _module.family_lm
