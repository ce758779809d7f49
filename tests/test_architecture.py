"""What import-linter's contracts in pyproject.toml cannot say: the core runs where there is no Procgen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WITHOUT = "import sys\nfor name in ('procgen', 'gym3'):\n    sys.modules[name] = None\n"


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_module_of_the_core_imports_without_procgen() -> None:
    """And asks for nothing of the plug-in, whose entry point is read at the first look-up only."""
    said = run(
        "import importlib, pkgutil, d3rlpy_distill\n"
        "names = [m.name for m in pkgutil.walk_packages(d3rlpy_distill.__path__, 'd3rlpy_distill.')]\n"
        "for name in names:\n"
        "    importlib.import_module(name)\n"
        "assert not {'procgen_datasets', 'rld_distill'} & {name.split('.')[0] for name in sys.modules}\n"
        "print(*names)\n"
    )
    found = said.split()
    for name in (
        "pipeline",
        "evaluation.run",
        "report.tables",
        "tasks.gymnasium",
        "methods.gradient",
        "sweeping.run",
    ):
        assert f"d3rlpy_distill.{name}" in found


def test_the_core_distils_plays_and_reports_without_procgen(tmp_path: Path) -> None:
    """A gymnasium task end to end: collect, distill, evaluate, tables."""
    said = run(
        "from pathlib import Path\n"
        "import structlog; structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))\n"
        "from d3rlpy_distill import Budget, Protocol, distill, evaluate, load, make_task\n"
        "from d3rlpy_distill.report import build_tables, render\n"
        f"path = Path({str(tmp_path / 'cartpole.h5')!r})\n"
        "task = make_task('gym/CartPole-v1')\n"
        "task.collect(task.collect_settings(policy='random', episodes=10), path)\n"
        "dataset = load(path)\n"
        "few = distill(dataset, 'balanced', n_samples=8)\n"
        "protocol = Protocol(1, 2, full=Budget(2, 8), small=Budget(2, 8))\n"
        "results = evaluate(dataset, few, protocol=protocol, arms=['random-policy', 'random-8', 'distilled-8'])\n"
        "print(render(build_tables(results)))\n"
    )
    assert "distilled-8" in said and "random-8" in said


def test_a_procgen_task_says_what_is_missing(starpilot_file: Path, tmp_path: Path) -> None:
    """In one line, with what to type; what plays no game is not asked for it: names, experts, distillations."""
    said = run(
        "import importlib.metadata as metadata, os\n"
        "from pathlib import Path\n"
        "known = metadata.version\n"
        "def version(name):\n"
        "    if name.startswith('procgen'):\n"
        "        raise metadata.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "metadata.version = version\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "import structlog; structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))\n"
        "from d3rlpy_distill import distill, evaluate, load, make_task\n"
        "from d3rlpy_distill.catalogue import DATASETS, TASKS\n"
        "from d3rlpy_distill.errors import MissingExtraError\n"
        "task = make_task('starpilot')\n"
        "assert task.name == 'procgen/starpilot' and task.default_student == 'paper'\n"
        "assert 'procgen/starpilot' in TASKS.names() and 'starpilot-expert' in DATASETS.names()\n"
        "assert task.load_policy('starpilot').name == 'starpilot'\n"
        f"dataset = load({str(starpilot_file)!r})\n"
        "few = distill(dataset, 'balanced', n_samples=5)\n"
        "assert few.task == 'procgen/starpilot' and len(few) == 5\n"
        "one = [task.random_policy()]\n"
        "for play in (\n"
        "    lambda: evaluate(dataset, few),\n"
        "    lambda: task.collect(task.collect_settings(policy='random', episodes=1), Path('x.h5')),\n"
        "    lambda: task.play(one, split='id', mode='sampled', episodes=1, seed=0),\n"
        "    lambda: next(task.film(one, split='id', greedy=False, seed=0, max_steps=1)),\n"
        "):\n"
        "    try:\n"
        "        play()\n"
        "    except MissingExtraError as error:\n"
        "        print(error)\n"
    )
    lines = said.splitlines()
    assert len(lines) == 4 and len(set(lines)) == 1
    assert lines[0].startswith("Procgen is not installed") and "pip install" in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_source_roots_are_no_packages() -> None:
    """A package named ``datasets`` or ``cli`` in site-packages would overwrite other projects' packages."""
    assert not (ROOT / "datasets" / "__init__.py").exists()
    assert not (ROOT / "cli" / "__init__.py").exists()
