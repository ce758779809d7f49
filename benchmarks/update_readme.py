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
OTHER_PRESETS = RESULTS / "continuous-presets"
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
GAMES = ("starpilot", "bigfish", "jumper")
COMPARED: Mapping[str, str] = {"distilled-150": "{game}.json", "soft-150": "{game}-1000x64.json"}
"""Arms that are compared over the games, each with the files of the budget that it is made for."""
Column = tuple[str, str, str | None, str]
"""Its title, the kind of its arms, of ensembles that of the arms whose students they are, and the labels."""
SCORED: Sequence[Column] = (
    ("all data", "full", None, "actions"),
    ("best tenth", "percentile", None, "actions"),
    ("random, actions taken", "random", None, "actions"),
    ("random, students' actions", "initial", None, "actions"),
    ("distilled", "distilled", None, "actions"),
    ("all data, ensemble", "ensemble", "full", "actions"),
    ("distilled, ensemble", "ensemble", "distilled", "actions"),
)
OF_SETS: Sequence[Column] = (
    ("random, actions taken", "random", None, "actions"),
    ("random, labels of the sets", "initial", None, "actions"),
    ("distilled", "distilled", None, "actions"),
    ("distilled, ensemble", "ensemble", "distilled", "actions"),
)
"""Columns of what no other arm stands beside."""
ON_MUJOCO = [
    f"{name}-medium{kind}" for name in ("halfcheetah", "hopper", "walker2d") for kind in ("-expert", "", "-replay")
]
SIZES = (16, 64, 256, 1024)
SIZE = 256
PRESETS = {
    "default": "actions taken (DBC)",
    "pbc": "expert (PBC)",
    "av-pbc": "expert, weighted by value (Av-PBC)",
    "sdw": "expert, weighted by density (SDW)",
    "pbc-td3-bc-full": "TD3+BC of the data (PBC)",
    "percentile": "students of the best tenth",
}
BLOCK = re.compile(
    r"(<!-- (results: (?P<results>[\w/-]+)|games: (?P<games>[\w-]+)|(?P<experts>experts)|(?P<board>leaderboard)"
    r"|(?P<continuous>continuous-control)|(?P<tangents>continuous-tangents)|continuous-sizes: (?P<sizes>[\w-]+)"
    r"|continuous-presets: (?P<presets>[\w-]+)) -->\n)"
    r".*?<!-- end -->",
    re.DOTALL,
)


def updated(text: str) -> str:
    """Returns the text with every block rendered anew.

    ``<!-- results: NAME -->`` to ``<!-- end -->`` holds the tables of a file of results or of a sweep,
    ``<!-- games: ARM -->`` an arm over the games, ``<!-- experts -->`` that of
    the bundled experts' cards, ``<!-- leaderboard -->`` those of ``benchmarks/results/leaderboard``,
    ``<!-- continuous-control -->`` that of ``benchmarks/results/continuous``,
    ``<!-- continuous-tangents -->`` what was chosen for each dataset there,
    ``<!-- continuous-sizes: DATASET -->`` those of a dataset's sizes there, ``<!-- continuous-presets: DATASET -->``
    those of its presets.
    """

    def block(match: re.Match[str]) -> str:
        if match["experts"]:
            tables = [experts_table()]
        elif match["board"]:
            tables = board_tables()
            if not tables:
                return f"{match[1]}No results are kept yet.\n<!-- end -->"
        elif match["continuous"]:
            tables = [continuous_table()]
        elif match["tangents"]:
            tables = [tangents_table()]
        elif match["sizes"]:
            tables = [sizes_table(match["sizes"])]
        elif match["presets"]:
            tables = [presets_table(match["presets"])]
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


def continuous_table(directory: Path = CONTINUOUS) -> Table:
    """Returns the scores of ``benchmarks.continuous_control``, 0 to 100, a row each dataset and one of their means."""
    rows = {name: scores(Results.load(directory / f"{name}-percentile.json"), SCORED) for name in ON_MUJOCO}
    means = np.array(list(rows.values())).mean(0)
    share = tuple(f"{100 * mean / means[0]:.0f}%" for mean in means)
    table = scores_table("dataset", {**rows, "mean": list(means)}, SCORED)
    return Table(table.title, table.columns, [*table.rows, ("of cloning all data", *share)])


def tangents_table(directory: Path = CONTINUOUS) -> Table:
    """Returns the scores on validation starts, 0 to 100, by which each dataset took its share of the tangent kernel."""
    tried = {}
    for name in ON_MUJOCO:
        tried[name] = Results.load(directory / f"{name}-percentile.json").provenance.get("tangents")
        if tried[name] is None:
            raise ValueError(f"{name} was made with one share: the page's are made with --tangents 0 0.5.")
    shares = list(next(iter(tried.values())))
    rows = [
        (name, *(f"{100 * scores[share]:.1f}" for share in shares), max(shares, key=lambda share: scores[share]))
        for name, scores in tried.items()
    ]
    return Table(
        "Normalised scores on validation starts",
        ("dataset", *(f"share {share}" for share in shares), "taken"),
        rows,
    )


def sizes_table(name: str) -> Table:
    """Returns the scores of one dataset's sets of preset ``percentile``, a row each size."""
    return scores_table("samples", {f"{n}": row for n, row in of_sizes(name).items()}, OF_SETS)


def of_sizes(name: str) -> dict[int, list[float]]:
    """Returns the scores of each size, last layer's kernel alone, as :func:`scores` does."""
    paths = {
        n: OTHER_PRESETS / f"{name}-percentile.json" if n == SIZE else CONTINUOUS / f"{name}-percentile-{n}.json"
        for n in SIZES
    }
    return {n: scores(Results.load(path), OF_SETS) for n, path in paths.items() if path.exists()}


def presets_table(name: str) -> Table:
    """Returns the scores of one dataset's sets, last layer's kernel alone, a row each preset."""
    paths = {title: OTHER_PRESETS / f"{name}-{preset}.json" for preset, title in PRESETS.items()}
    rows = {title: scores(Results.load(path), OF_SETS) for title, path in paths.items() if path.exists()}
    return scores_table("whose decisions", rows, OF_SETS)


def scores_table(what: str, rows: Mapping[str, Sequence[float]], columns: Sequence[Column]) -> Table:
    """Returns a table of :func:`scores`."""
    heads = (what, *(title for title, *_ in columns), "lowest set", "highest set")
    lines = [(name, *(f"{score:.1f}" for score in row)) for name, row in rows.items()]
    return Table("Normalised scores on new starts", heads, lines)


def scores(results: Results, columns: Sequence[Column]) -> list[float]:
    """Returns the scores of columns, means over sets, and those of the lowest and of the highest set, 0 to 100."""
    about = {arm.name: arm.about for arm in results.arms}

    def of_column(kind: str, of: str | None, labels: str) -> list[float]:
        chosen = [arm for arm in results.arms if arm.about.kind == kind and arm.about.labels == labels]
        if of is not None:
            chosen = [arm for arm in chosen if arm.about.of is not None and about[arm.about.of].kind == of]
        assert chosen and all(arm.normalised is not None for arm in chosen)
        return [100 * float(arm.normalised or 0.0) for arm in chosen]

    every = [of_column(kind, of, labels) for _, kind, of, labels in columns]
    own = of_column("distilled", None, "actions")
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
