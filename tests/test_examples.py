"""The examples: short, whole, and their commands run as they stand in their docstrings."""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from commands import run
from d3rlpy_distill import Distilled, OfflineDataset, Results

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("add_a_*.py"))
SMALL = ["--students", "1", "--episodes", "2", "--full-steps", "2", "--full-batch", "8", "--small-steps", "2"]


def commands_of(path: Path) -> list[list[str]]:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    lines = [line.strip() for line in docstring.splitlines() if line.strip().startswith("rld-distill ")]
    return [shlex.split(line)[1:] for line in lines]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_shows_its_commands(path: Path) -> None:
    assert 20 <= len(path.read_text().splitlines()) <= 60
    assert commands_of(path) and all(f"examples/{path.name}" in words for words in commands_of(path))


def test_there_is_an_example_of_each_thing() -> None:
    assert [path.stem for path in EXAMPLES] == [
        f"add_a_{what}" for what in ("coreset", "format", "method", "student", "task")
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_commands_of_an_example_run(
    path: Path, starpilot_file: Path, distilled_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other files in the place of data/, and evaluations of one student; nothing else is changed."""
    files = {
        "data/starpilot.h5": str(starpilot_file),
        "data/starpilot-150.h5": str(distilled_file),
        "benchmarks/results/starpilot.json": str(ROOT / "benchmarks" / "results" / "starpilot.json"),
        f"examples/{path.name}": str(path),
    }
    monkeypatch.chdir(tmp_path)
    for words in commands_of(path):
        words = [files.get(word, word).replace("-150", "-20") for word in words]  # the file has twenty samples
        if words[0] == "evaluate":
            words = [*(w for w in words if not w.isdigit() and w not in ("--students", "--episodes")), *SMALL]
            words += ["--converged-steps", "2", "--out", "results"]
        result = run(*words)
        assert result.exit_code == 0, (words, result.output, result.exception)
    if path.stem == "add_a_format":
        assert (
            "expected" not in result.stdout and "\n=====" in result.stdout and "distilled-150  " in result.stdout
        )
        return
    made = [OfflineDataset.load(file) for file in tmp_path.glob("*.h5")]
    assert made or (tmp_path / "results" / "results.json").exists()


def test_what_the_examples_add_is_there(
    starpilot_file: Path, distilled_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, kind, name in (
        ("add_a_method.py", "methods", "noisy"),
        ("add_a_coreset.py", "coresets", "promising"),
        ("add_a_student.py", "students", "coarse"),
        ("add_a_task.py", "tasks", "examples/corridor"),
        ("add_a_format.py", "formats", "rst  Tables as reStructuredText."),
    ):
        listed = run("list", kind, "--plugin", ROOT / "examples" / path)
        assert listed.exit_code == 0 and name in listed.stdout
    plugin = ("--plugin", ROOT / "examples" / "add_a_method.py")
    noisy = run(
        "distill", starpilot_file, *plugin, "--method", "noisy", "--noise", 0, "--samples", 9, "--out", "n.h5"
    )
    assert noisy.exit_code == 0, noisy.output
    distilled = Distilled.load(tmp_path / "n.h5")
    assert len(distilled) == 9 and distilled.initial is not None
    assert (distilled.samples.observations == distilled.initial.observations).all()  # no noise
    plugin = ("--plugin", ROOT / "examples" / "add_a_coreset.py", "--coresets", "promising")
    arms = ("--arms", "promising-20,herding-20", "--coresets", "promising,herding", "--out", "r", *SMALL)
    played = run("evaluate", starpilot_file, distilled_file, *plugin[:2], *arms)
    assert played.exit_code == 0, played.output
    assert Results.load(tmp_path / "r").names() == ["promising-20", "herding-20"]


@pytest.mark.slow
def test_your_own_dataset_becomes_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script as it stands; its commands with fewer steps and students."""
    path = ROOT / "examples" / "own_dataset.py"
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "mean return" in done.stdout, done.stderr
    distil, evaluate, report = commands_of(path)
    distil[distil.index("--steps") + 1] = "3"
    few = [
        "--students",
        "1",
        "--episodes",
        "1",
        "--full-steps",
        "2",
        "--small-steps",
        "2",
        "--converged-steps",
        "2",
    ]
    for words in (distil, [*evaluate, *few], report):
        result = run(*words)
        assert result.exit_code == 0, (words, result.output, result.exception)
    assert "| distilled-10 |" in result.output and "| random-10 |" in result.output
