from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cfgen.report


def test_no_report_imports_torch() -> None:
    folder = Path(cfgen.report.__file__).parent
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    assert len(names) > 5
    code = "import sys\n" + "".join(f"import cfgen.report.{name}\n" for name in names)
    code += "print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
