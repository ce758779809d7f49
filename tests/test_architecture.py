"""Imports point one way, and the distiller knows no game."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "d3rlpy_distill": ROOT / "d3rlpy_distill",
    "procgen_datasets": ROOT / "datasets" / "procgen_datasets",
    "rld_distill": ROOT / "cli" / "rld_distill",
}
FORBIDDEN = {
    "d3rlpy_distill": {"procgen_datasets", "rld_distill", "procgen", "gym", "gym3", "gymnasium", "click"},
    "procgen_datasets": {"d3rlpy_distill", "rld_distill", "click"},
    "rld_distill": {"procgen"},
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    files = list(PACKAGES[package].rglob("*.py"))
    assert len(files) > 5
    for path in files:
        assert not imported(path) & FORBIDDEN[package], path


def test_the_distiller_runs_without_procgen() -> None:
    code = (
        "import sys\n"
        "sys.modules['procgen'] = sys.modules['gym3'] = None\n"
        "import d3rlpy_distill, d3rlpy_distill.evaluation, d3rlpy_distill.report\n"
        "assert 'procgen_datasets' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_source_roots_are_no_packages() -> None:
    """A package named ``datasets`` or ``cli`` in site-packages would overwrite other projects' packages."""
    assert not (ROOT / "datasets" / "__init__.py").exists()
    assert not (ROOT / "cli" / "__init__.py").exists()


def test_files_are_small() -> None:
    for package in PACKAGES.values():
        for path in package.rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 300, path
