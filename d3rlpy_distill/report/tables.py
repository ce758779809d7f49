"""Tables from results: returns on every split, and what each arm was trained on."""

from __future__ import annotations

from ..evaluation.results import ArmResult, Results
from .algorithms import algorithm_tables
from .cells import return_cell
from .paper import paper_table, reproduces_paper
from .table import Table
from .verdicts import CONVERGED, FULL, as_good, budget, gain, random_arm, reference

__all__ = ["build_tables"]


def build_tables(results: Results, *, paper: bool = False) -> list[Table]:
    """Returns the tables of an evaluation: returns on each split, data and cost.

    The percentage is of the mean of converged cloning of all data. The gain is over the mean of random or balanced
    samples with their actions, whichever returns more, with a 95% bootstrap interval over students. An arm is as good
    as all data where the lower end of the 95% interval of the difference lies above -5% of that arm's mean; at least
    five students are needed to tell.

    Results of several students give a table student x data instead.

    Args:
        results: The evaluation.
        paper: Add the paper's own figures, where the results are of its student on one of its games.
    """
    if len(results.students) > 1:
        return algorithm_tables(results)
    tables = [_returns_table(results, split) for split in results.splits]
    tables.append(_data_table(results))
    if paper and reproduces_paper(results):
        tables.append(paper_table(results))
    return tables


def _returns_table(results: Results, split: str) -> Table:
    random = random_arm(results, split)
    full, converged = (reference(results, kind, split) for kind in (FULL, CONVERGED))
    columns = [
        "arm",
        "return",
        "IQM [95%]",
        "normalised",
        "of converged BC",
        f"gain over {random.name} [95%]" if random else "gain",
        f"as good as {full.name if full else 'all data'}",
        "greedy return",
    ]
    rows = []
    for name in results.names():
        arm, greedy = results.main(name, split), results.get(name, split, "greedy")
        if arm is not None:
            rows.append(
                [
                    name,
                    return_cell(arm),
                    f"{arm.iqm:.2f} [{arm.ci95[0]:.2f}, {arm.ci95[1]:.2f}]",
                    "" if arm.normalised is None else f"{arm.normalised:.3f}",
                    _share(arm, converged),
                    gain(arm, random),
                    as_good(arm, full),
                    return_cell(greedy),
                ]
            )
    sampled = any(arm.mode == "sampled" for arm in results.arms)
    told = {
        "normalised": any(arm.normalised is not None for arm in results.arms),
        "greedy return": sampled,  # without sampled actions it is the return
    }
    kept = [i for i, column in enumerate(columns) if told.get(column, True)]
    return Table(
        _title(results, split, sampled),
        tuple(columns[i] for i in kept),
        [tuple(row[i] for i in kept) for row in rows],
        least=("of converged BC", "normalised", "greedy return", "IQM [95%]", columns[6], columns[5]),
    )


def _title(results: Results, split: str, sampled: bool) -> str:
    first = next((arm for arm in results.arms if arm.about.student is not None), results.arms[0])
    student = first.about.student
    budgets = [
        f"{what} {given}"
        for what, size in (("real data", "full"), ("small sets", "small"))
        if (given := budget(results, size, student))
    ]
    trained = "budgets tuned on validation" if results.tuning else f"{', '.join(budgets)} (steps x batch)"
    students = f"{first.n_students} {student} students x " if student else ""
    told = [
        f"{results.title}, {results.splits[split]}",
        f"{students}{first.n_episodes} episodes",
        trained if budgets or results.tuning else "",
        "actions sampled unless marked greedy" if sampled else "greedy actions",
    ]
    return ", ".join(text for text in told if text)


def _share(arm: ArmResult, converged: ArmResult | None) -> str:
    return f"{100 * arm.mean / converged.mean:.0f}%" if converged and converged.mean > 0 else ""


def _data_table(results: Results) -> Table:
    rows = []
    for name in results.names():
        arm = results.main(name, next(iter(results.splits)))
        if arm is not None and arm.samples:
            row = (name, f"{arm.samples}", f"{arm.bytes / 1e6:.2f}", f"{arm.train_seconds:.1f}")
            tuned = results.tuning.get(name)
            rows.append((*row, *((str(tuned.best) if tuned else "",) if results.tuning else ())))
    return Table(
        f"{results.title}, what a student is trained on",
        ("arm", "samples", "MB", "seconds a student", *(("budget (steps x batch)",) if results.tuning else ())),
        rows,
        note=_equal(results),
    )


def _equal(results: Results) -> str:
    """Says which arms of the best episodes are one, their seeds apart: sets of one size, each a part of the next."""
    split, same = next(iter(results.splits)), dict[int, list[str]]()
    for name in results.find(["full", "percentile"]):
        arm = results.main(name, split)
        if arm is not None and arm.samples:
            same.setdefault(arm.samples, []).append(name)
    return " ".join(
        f"{', '.join(names)} are trained on the very same {samples} transitions: they differ in their seeds alone."
        for samples, names in same.items()
        if len(names) > 1
    )
