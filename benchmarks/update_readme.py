"""Renders the results tables of the documents from ``benchmarks/results``.

Run: ``python benchmarks/update_readme.py``"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from d3rlpy_distill.evaluation import Results
from d3rlpy_distill.report import Table, build_tables, games_table, read_report, render
from d3rlpy_distill.report.leaderboard import leaderboard_table
from d3rlpy_distill.report.paper import PAPER_RETURNS
from d3rlpy_distill.report.sweep import sweep_tables
from procgen_datasets.expert import bundled_experts, load_expert

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BOARDS = RESULTS / "leaderboard"
CONTINUOUS = RESULTS / "continuous"
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
GAMES = ("starpilot", "bigfish", "jumper")
COMPARED: Mapping[str, str] = {"distilled-150": "{game}.json", "soft-150": "{game}-1000x64.json"}
"""Arms that are compared over the games, each with the files of the budget that it is made for."""
SCORED: Mapping[str, Sequence[tuple[str, str, str | None, str]]] = {
    "percentile": (
        ("all data", "full", None, "actions"),
        ("best tenth", "percentile", None, "actions"),
        ("random, actions taken", "random", None, "actions"),
        ("random, students' actions", "initial", None, "actions"),
        ("distilled", "distilled", None, "actions"),
        ("all data, ensemble", "ensemble", "full", "actions"),
        ("distilled, ensemble", "ensemble", "distilled", "actions"),
    ),
    "pbc": (
        ("all data", "full", None, "actions"),
        ("random, actions taken", "random", None, "actions"),
        ("random, expert's actions", "initial", None, "actions"),
        ("distilled", "distilled", None, "actions"),
        ("all data, expert's actions", "full", None, "expert"),
        ("all data, ensemble", "ensemble", "full", "actions"),
        ("distilled, ensemble", "ensemble", "distilled", "actions"),
    ),
}
"""Columns by preset: the kind of their arms, of ensembles that of the arms whose students they are, and the labels."""
BLOCK = re.compile(
    r"(<!-- (results: (?P<results>[\w/-]+)|games: (?P<games>[\w-]+)|(?P<experts>experts)|(?P<board>leaderboard)"
    r"|continuous-control: (?P<continuous>[\w-]+)) -->\n)"
    r".*?<!-- end -->",
    re.DOTALL,
)


def updated(text: str) -> str:
    """Returns the text with every block rendered anew.

    ``<!-- results: NAME -->`` to ``<!-- end -->`` holds the tables of a file of results or of a sweep,
    ``<!-- games: ARM -->`` an arm over the games, ``<!-- experts -->`` that of
    the bundled experts' cards, ``<!-- leaderboard -->`` those of ``benchmarks/results/leaderboard``,
    ``<!-- continuous-control: PRESET -->`` that of a preset's files in ``benchmarks/results/continuous``.
    """

    def block(match: re.Match[str]) -> str:
        if match["experts"]:
            tables = [experts_table()]
        elif match["board"]:
            tables = board_tables()
            if not tables:
                return f"{match[1]}No results are kept yet.\n<!-- end -->"
        elif match["continuous"]:
            tables = [continuous_table(match["continuous"])]
        elif match["games"]:
            tables = [arm_table(match["games"])]
        else:
            report = read_report(RESULTS / f"{match['results']}.json")
            tables = sweep_tables(report) if isinstance(report, list) else build_tables(report, paper=True)
        return f"{match[1]}{render(tables)}\n<!-- end -->"

    return BLOCK.sub(block, text)


def arm_table(name: str) -> Table:
    """Returns the table of ``report --compare NAME`` over the games' files of the arm's budget."""
    return games_table([Results.load(RESULTS / COMPARED[name].format(game=game)) for game in GAMES], name)


def board_tables(directory: Path = BOARDS) -> list[Table]:
    """Returns a table for each file of results of ``benchmarks.leaderboard``, and for each of its splits."""
    every = [Results.load(path) for path in sorted(directory.glob("*.json"))]
    return [leaderboard_table(one, split) for one in every for split in one.splits]


def continuous_table(preset: str, directory: Path = CONTINUOUS) -> Table:
    """Returns the scores of ``benchmarks.continuous_control``, 0 to 100, a row each dataset and one of their means."""
    paths = sorted(directory.glob(f"*-{preset}.json"))
    rows = [
        (path.stem.removesuffix(f"-{preset}"), *continuous_scores(Results.load(path), preset)) for path in paths
    ]
    scores = np.array([row[1:] for row in rows], float)
    means = scores.mean(0)
    share = (f"{100 * mean / means[0]:.0f}%" for mean in means)
    lines = [(str(name), *(f"{score:.1f}" for score in of)) for name, *of in rows]
    lines += [("mean", *(f"{score:.1f}" for score in means)), ("of cloning all data", *share)]
    columns = ("dataset", *(title for title, *_ in SCORED[preset]), "lowest set", "highest set")
    return Table("Normalised scores on new starts", columns, lines)


def continuous_scores(results: Results, preset: str) -> list[float]:
    """Returns the scores of :data:`SCORED`, means over sets, and those of the lowest and of the highest set."""
    about = {arm.name: arm.about for arm in results.arms}

    def scores(kind: str, of: str | None, labels: str) -> list[float]:
        chosen = [arm for arm in results.arms if arm.about.kind == kind and arm.about.labels == labels]
        if of is not None:
            chosen = [arm for arm in chosen if arm.about.of is not None and about[arm.about.of].kind == of]
        assert chosen and all(arm.normalised is not None for arm in chosen)
        return [100 * float(arm.normalised or 0.0) for arm in chosen]

    every = [scores(kind, of, labels) for _, kind, of, labels in SCORED[preset]]
    own = scores("distilled", None, "actions")
    return [*(float(np.mean(one)) for one in every), min(own), max(own)]


def experts_table() -> Table:
    """Returns the table of the bundled experts, from their cards."""
    rows = []
    for name in bundled_experts():
        card = load_expert(name).card
        returns = [card["returns"][split][mode] for split in ("train", "ood") for mode in ("sampled", "greedy")]
        paper = PAPER_RETURNS.get((card["game"], "id"))
        target = "" if "-medium" in name or paper is None else f"{paper[0]:.2f}"
        cells = [f"{value['mean']:.2f} ± {value['std']:.2f}" for value in returns]
        rows.append((name, f"{card['environment_steps']:,}", *cells, f"{returns[0]['n']}", target))
    columns = ("policy", "steps", "training levels, sampled", "greedy", "all levels, sampled", "greedy",
               "episodes", "the paper's expert, training levels")  # fmt: skip
    return Table("The bundled policies, mean return ± deviation over episodes", columns, rows)


if __name__ == "__main__":
    for document in DOCUMENTS:
        old = document.read_text()
        new = updated(old)
        if new != old:
            document.write_text(new)
            print(document.relative_to(ROOT))
