"""The README tells the truth: its tables are those of the results files, its commands exist."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.evaluation.arms import arm_names
from rld_distill.main import cli

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look up annotations
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("document", "row"),
    [
        ("README.md", "| distilled-150 |"),
        ("docs/algorithms.md", "| cql |"),
        ("docs/other-datasets.md", "| CartPole-v1 |"),
        ("docs/experts.md", "| bigfish |"),
        ("docs/results.md", "| distilled-150 |"),
    ],
)
def test_tables_are_rendered_from_the_results_files(document: str, row: str) -> None:
    script = load_script("update_readme")
    text = (ROOT / document).read_text()
    assert document in script.DOCUMENTS and row in text
    assert script.updated(text) == text


@pytest.mark.parametrize("game", ["starpilot", "bigfish", "jumper"])
def test_published_results_follow_the_protocol(game: str) -> None:
    results = Results.load(ROOT / "benchmarks" / "results" / f"{game}.json")
    assert set(results.names()) >= {*arm_names(150), "paper-150"}
    for arm in results.arms:
        single = arm.name in ("random-policy", "expert")
        assert (arm.n_students, arm.n_episodes) == (1 if single else 10, 100)
        assert len(arm.returns) == arm.n_students and all(len(r) == 100 for r in arm.returns)
        assert arm.mean == pytest.approx(sum(map(sum, arm.returns)) / arm.n_students / 100)


@pytest.mark.parametrize("name", ["starpilot-1000x15", "starpilot-1000x64", "bigfish-1000x64", "jumper-1000x64"])
def test_published_results_of_soft_labels_have_their_baselines(name: str) -> None:
    results = Results.load(ROOT / "benchmarks" / "results" / f"{name}.json")
    wanted = {"bc-100", "random-150", "random-soft-150", "soft-150", "teachers-of-soft-150"}
    if name.endswith("1000x64"):
        wanted |= {"balanced-150", "bc-100-converged", "soft-150-seed-1"}
    assert wanted <= set(results.names())
    steps, batch = (int(number) for number in name.split("-")[1].split("x"))
    assert results.protocol["synthetic"] == {"n_steps": steps, "batch_size": batch}
    assert {(arm.n_students, arm.n_episodes) for arm in results.arms if arm.samples} == {(10, 100)}


def test_the_readme_says_of_thirty_students_what_their_file_says() -> None:
    results = Results.load(ROOT / "benchmarks" / "results" / "starpilot-1000x64-30.json")
    arms = [results.get(name, split, "sampled") for name in ("soft-150", "bc-100") for split in ("id", "ood")]
    means = [f"{arm.mean:.2f}" for arm in arms if arm is not None and arm.n_students == 30]
    soft_id, soft_ood, full_id, full_ood = means
    assert f"({soft_id} and {soft_ood} against {full_id} and {full_ood}," in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "document",
    ["README.md", "docs/protocol.md", "docs/experts.md", "docs/other-datasets.md", "docs/algorithms.md"],
)
def test_commands_in_the_documents_parse(document: str, tmp_path: Path) -> None:
    text = (ROOT / document).read_text()
    for line in re.findall(r"^ *rld-distill (.+)$", text, re.MULTILINE):
        name, *rest = line.split("#")[0].split()
        options = [word for word in rest if word.startswith("--")]
        help_text = (
            CliRunner()
            .invoke(cli, [name, *([rest[0]] if name in ("datasets", "import") else []), "--help"])
            .output
        )
        assert f"Usage: cli {name}" in help_text, line
        for option in options:
            assert option in help_text, (line, option)
