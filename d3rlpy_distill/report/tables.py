"""Tables from results: returns on seen and unseen levels, and what each arm was trained on."""

from __future__ import annotations

from ..evaluation.results import Results
from .algorithms import algorithm_tables
from .paper import PAPER_COLUMNS, PAPER_RETURNS, PAPER_SIZES
from .table import SPLIT_TITLES, Table
from .verdicts import CONVERGED, FULL, as_good, budget, gain, random_arm

__all__ = ["build_tables"]


def build_tables(results: Results) -> list[Table]:
    """Returns a game's tables: returns on either split, data and cost, and the paper's own numbers if it has any.

    The percentage is of ``bc-100-converged``'s mean; the gain is over the mean of ``random-N`` or ``balanced-N``,
    whichever returns more, with a 95% bootstrap interval over students. An arm is as good as ``bc-100`` where the
    lower end of the 95% interval of the difference lies above -5% of that arm's mean. Results of ``--algos`` give
    a table algorithm x dataset instead.
    """
    if "algorithms" in results.protocol:
        return algorithm_tables(results)
    tables = [_returns_table(results, split) for split in SPLIT_TITLES]
    tables.append(_data_table(results))
    if (results.game, "id") in PAPER_RETURNS:
        tables.append(_paper_table(results.game))
    return tables


def _returns_table(results: Results, split: str) -> Table:
    number, where = SPLIT_TITLES[split]
    rows = []
    random = random_arm(results, split)
    converged = results.get(CONVERGED, split, "sampled")
    full = results.get(FULL, split, "sampled")
    for name in results.names():
        sampled, greedy = results.get(name, split, "sampled"), results.get(name, split, "greedy")
        if sampled is None:
            continue
        low, high = sampled.ci95
        share = f"{100 * sampled.mean / converged.mean:.0f}%" if converged and converged.mean > 0 else ""
        rows.append(
            (
                name,
                f"{sampled.mean:.2f} ± {sampled.std:.2f}",
                f"{sampled.iqm:.2f} [{low:.2f}, {high:.2f}]",
                f"{sampled.normalised:.3f}",
                share,
                gain(sampled, random),
                as_good(sampled, full),
                f"{greedy.mean:.2f} ± {greedy.std:.2f}" if greedy else "",
            )
        )
    first = next((arm for arm in results.arms if arm.n_students > 1), results.arms[0])
    played = f"{where}, {first.n_students} students x {first.n_episodes} episodes"
    given = [text for text in (played, budget(results), "actions sampled unless marked greedy") if text]
    title = f"{number}: {results.game}, {', '.join(given)}"
    columns = (
        "arm",
        "return",
        "IQM [95%]",
        "normalised",
        "of converged BC",
        f"gain over {random.name} [95%]" if random else "gain",
        "as good as bc-100",
        "greedy return",
    )
    return Table(title, columns, rows)


def _data_table(results: Results) -> Table:
    rows = []
    for name in results.names():
        arm = results.get(name, "id", "sampled")
        if arm is not None and arm.samples:
            rows.append((name, f"{arm.samples}", f"{arm.bytes / 1e6:.2f}", f"{arm.train_seconds:.1f}"))
    return Table(
        f"Table 4: {results.game}, what a student is trained on",
        ("arm", "samples", "MB", "seconds a student"),
        rows,
    )


def _paper_table(game: str) -> Table:
    rows = [
        (
            f"Table {2 if split == 'id' else 3}, returns {split.upper()}",
            *(f"{v:.2f}" for v in PAPER_RETURNS[game, split]),
        )
        for split in SPLIT_TITLES
    ]
    rows.append(("Table 4, size", "", *(str(v) for v in PAPER_SIZES[game])))
    return Table(
        f"{game} as printed in arXiv 2407.20299 (another expert, other data; quoted, not measured)",
        ("paper", *PAPER_COLUMNS),
        rows,
    )
