"""One arm over several games, beside random samples and everything."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DistillError
from ..evaluation.results import ArmResult, Results
from .table import SPLIT_TITLES, Table
from .verdicts import CONVERGED, FULL, as_good, budget, gain, random_arm

__all__ = ["games_table"]


def games_table(results: Sequence[Results], name: str) -> Table:
    """Returns a row for each game and split: the arm beside random samples, ``bc-100`` and ``bc-100-converged``.

    Random samples are ``random-N`` or ``balanced-N``, whichever returns more. Converged cloning has its columns
    where a game has that arm.

    Args:
        results: One for each game, of one budget.
        name: The arm, for example ``"soft-150"``.

    Raises:
        DistillError: If a game has no such arm, or budgets differ.
    """
    budgets = {budget(result) for result in results}
    if len(budgets) > 1:
        given = " and ".join(sorted(budgets))
        raise DistillError(f"the results have different budgets ({given}): compare files of one budget.")
    references = [FULL, *([CONVERGED] if any(CONVERGED in result.names() for result in results) else [])]
    rows = []
    for result in results:
        for split, (_, where) in SPLIT_TITLES.items():
            arm = result.get(name, split, "sampled")
            if arm is None:
                known = ", ".join(result.names())
                raise DistillError(f"{result.game} has no arm {name!r}: expected one of {known}.")
            random = random_arm(result, split)
            played = f"{arm.n_students} x {arm.n_episodes}"
            whole = [result.get(reference, split, "sampled") for reference in references]
            named = f" ({random.name})" if random is not None else ""
            means = (_cell(random) + named, *map(_cell, whole), _cell(arm))
            verdicts = [as_good(arm, reference) for reference in whole]
            rows.append((result.game, where, played, *means, gain(arm, random), *verdicts))
    heads = ("game", "levels", "students x episodes", "random samples", *references, name)
    columns = (*heads, "gain over random [95%]", *(f"as good as {reference}" for reference in references))
    told = [text for text in ("mean return ± deviation over students", budgets.pop(), "actions sampled") if text]
    title = f"{name}: {', '.join(told)}"
    return Table(title, columns, rows)


def _cell(arm: ArmResult | None) -> str:
    return "" if arm is None else f"{arm.mean:.2f} ± {arm.std:.2f}"
