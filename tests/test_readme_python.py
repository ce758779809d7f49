"""The README's Python: from a dataset to a printed table in at most eight lines, run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from d3rlpy_distill import Distilled

README = Path(__file__).parent.parent / "README.md"


def block() -> str:
    """Returns the README's Python."""
    found = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def run(code: str, directory: Path) -> None:
    """Runs it in a directory, where it prints the table and leaves the file that it says."""
    done = subprocess.run([sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| soft-150 |" in done.stdout and "| random-150 |" in done.stdout
    assert len(Distilled.load(directory / "starpilot-150.h5")) == 150


def test_the_readmes_python_prints_a_table_from_a_file(starpilot_file: Path, tmp_path: Path) -> None:
    """With a path in the place of the name, as its comment says: the name's dataset takes half a minute to make."""
    code = block()
    assert len([line for line in code.splitlines() if line.strip()]) <= 8
    name = '"starpilot-expert"'
    assert code.count(name) == 1
    run(code.replace(name, repr(str(starpilot_file))), tmp_path)


@pytest.mark.slow
def test_the_readmes_python_prints_a_table(tmp_path: Path) -> None:
    run(block(), tmp_path)
