"""The documents tell the truth: their tables are those of the results files, their commands and scripts exist."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from commands import run
from d3rlpy_distill.evaluation import Results

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = [str(path.relative_to(ROOT)) for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]
SCRIPTS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for group in ("speed", "findings")
    for path in sorted((ROOT / "benchmarks" / group).glob("*.py"))
]
SCRIPTS += [
    f"benchmarks.{name}" for name in ("continuous_control", "continuous_sizes", "evolution", "leaderboard")
]
COMMAND = re.compile(r"^ *(?:\$ )?rld-distill (?P<line>.+)$|`rld-distill (?P<inline>[^`]+)`", re.MULTILINE)
SCRIPT = re.compile(r"python (?:-m (?P<module>benchmarks[\w.]*)|(?P<file>benchmarks/[\w/]+\.py))")


def load_script(name: str) -> ModuleType:
    """Of the benchmarks, anew: what a test puts in its place is its own."""
    module = f"benchmarks.{name}"
    sys.modules.pop(module, None)
    return importlib.import_module(module)


def commands(text: str) -> list[list[str]]:
    """The arguments of every command of a document, in blocks and in sentences; GAME stands for a game."""
    found = [match["line"] or match["inline"] for match in COMMAND.finditer(text.replace("\\\n", " "))]
    return [shlex.split(line.replace("GAME", "starpilot"), comments=True) for line in found]


def test_the_readme_fits_on_a_page() -> None:
    """One film, one plot, one table of six rows, two commands, eight lines of Python, four of shell, four links."""
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert re.findall(r"^!\[[^]]+\]\(\S+\.(\w+)\)$", text, re.MULTILINE) == ["gif", "png"]
    tables = re.findall(r"^\|[ -:|]+\|$\n((?:^\|.*\|$\n)+)", text, re.MULTILINE)
    assert [len(rows.splitlines()) for rows in tables] == [6]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    code = [(language, [line for line in block.splitlines() if line]) for language, block in blocks]
    (made, python, typed) = (lines for _, lines in code)
    assert [line.partition("  ")[0] for line in made] == ["make quickstart", "make test"]
    assert code[1][0] == "python" and len(python) <= 8
    assert len(typed) == 4 and all(line.startswith("rld-distill ") for line in typed)
    (extend,) = re.findall(r"^## Extend it\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"\]\(", extend)) == 4
    assert {"## What it works on", "## Cite", "## Licence"} <= set(text.splitlines())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_tables_are_rendered_from_the_results_files(document: str) -> None:
    text = (ROOT / document).read_text()
    assert load_script("update_readme").updated(text) == text


@pytest.mark.parametrize(
    ("document", "row"),
    [
        ("docs/algorithms.md", "| cql |"),
        ("docs/experts.md", "| bigfish |"),
        ("docs/other-datasets.md", "| distilled-50 |"),
        ("docs/results.md", "| distilled-150 |"),
    ],
)
def test_tables_stand_in_blocks_that_are_rendered(document: str, row: str) -> None:
    script = load_script("update_readme")
    assert ROOT / document in script.DOCUMENTS
    rendered = "".join(match[0] for match in script.BLOCK.finditer((ROOT / document).read_text()))
    assert row in rendered


@pytest.mark.parametrize("game", ["starpilot", "bigfish", "jumper"])
def test_published_results_follow_the_protocol(game: str) -> None:
    results = Results.load(RESULTS / f"{game}.json")
    assert results.task == f"procgen/{game}" and set(results.splits) == {"id", "ood"}
    abouts = [results.about(name) for name in results.names()]
    # the distilled set and the paper's; percentiles of 10, 25 and 40
    assert Counter(about.kind for about in abouts) == {
        "distilled": 2,
        "percentile": 3,
        **dict.fromkeys(("random-policy", "expert", "full", "converged"), 1),
        **dict.fromkeys(("prior", "random", "balanced", "initial"), 1),
    }
    assert {about.size for about in abouts} == {None, 150} and {about.labels for about in abouts} == {"actions"}
    assert {"distilled-150", "paper-150"} == set(results.find(["distilled"], student="paper"))
    for arm in results.arms:
        students = 1 if arm.about.student is None else 10
        assert arm.returns.shape == (arm.n_students, arm.n_episodes) == (students, 100)
        assert arm.mean == pytest.approx(arm.returns.mean())


@pytest.mark.parametrize("name", ["starpilot-1000x64", "bigfish-1000x64", "jumper-1000x64"])
def test_published_results_of_soft_labels_have_their_baselines(name: str) -> None:
    results = Results.load(RESULTS / f"{name}.json")
    (teachers,) = results.find(["teachers"], labels="soft")
    (beside,) = results.find(["random"], labels="soft")
    of = results.about(teachers).of
    assert of == results.about(beside).of and of in results.find(["distilled"], labels="soft")
    assert len(results.find(["full"])) == len(results.find(["random"])) == 1
    assert len(results.find(["balanced"])) == len(results.find(["converged"])) == 1
    assert len(results.find(["distilled"], labels="soft")) == 2  # of two seeds
    assert results.protocol["budgets"]["paper"]["small"] == {"n_steps": 1000, "batch_size": 64}
    assert {(arm.n_students, arm.n_episodes) for arm in results.arms if arm.about.student} == {(10, 100)}


def test_the_results_say_of_thirty_students_what_their_file_says() -> None:
    results = Results.load(RESULTS / "starpilot-1000x64-30.json")
    names = [*results.find(["distilled"], labels="soft"), *results.find(["full"])]
    arms = [results.get(name, split, "sampled") for name in names for split in ("id", "ood")]
    means = [f"{arm.mean:.2f}" for arm in arms if arm is not None and arm.n_students == 30]
    soft_id, soft_ood, full_id, full_ood = means
    text = (ROOT / "docs" / "results.md").read_text()
    assert f"({soft_id} and {soft_ood} against {full_id} and {full_ood}," in text


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_the_documents_parse(document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where the plug-ins of the examples are found
    for arguments in commands((ROOT / document).read_text()):
        result = run(*arguments, "--help")  # options are parsed first, then helped with
        if "type: pip install 'd3rlpy-distill[" in result.stderr:
            continue  # a task of an extra that is not installed here
        assert result.exit_code == 0 and "Usage: " in result.output, (arguments, result.output)


def test_a_command_with_an_option_that_is_none_does_not_parse() -> None:
    (arguments,) = commands("See `rld-distill distill data/starpilot.h5 --method labels --n-techers 3`.")
    assert "No such option" in run(*arguments, "--help").output


@pytest.mark.parametrize("document", DOCUMENTS)
def test_scripts_named_in_the_documents_exist(document: str) -> None:
    for match in SCRIPT.finditer((ROOT / document).read_text()):
        if match["file"]:
            assert match["file"] == "benchmarks/update_readme.py", match[0]  # the others are modules of a package
        else:
            assert match["module"] in SCRIPTS, match[0]


@pytest.mark.parametrize("script", SCRIPTS)
def test_benchmarks_import_what_there_is(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    module = importlib.import_module(script)
    text = Path(str(module.__file__)).read_text()
    if "def main()" in text:
        assert f"python -m {script}" in " ".join((module.__doc__ or "").split())
