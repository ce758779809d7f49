"""The README's Python: from a dataset to a printed table in at most eight lines, run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from d3rlpy_distill import Distilled

README = Path(__file__).parent.parent / "README.md"


def test_the_readmes_python_prints_a_table(tmp_path: Path) -> None:
    block = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert block is not None
    code = block[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 8
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| soft-150 |" in done.stdout and "| random-150 |" in done.stdout
    assert len(Distilled.load(tmp_path / "starpilot-150.h5")) == 150
