"""What has to be done before what: work that waits for units, written as if it did them itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from .base import Ended, Pool, Unit
from .board import Board

__all__ = ["Branch", "Flow", "run_flow"]

R = TypeVar("R")
Wanted: TypeAlias = "Unit[Any] | Branch[Any]"
Flow: TypeAlias = Generator["Sequence[Unit[Any] | Branch[Any]]", "list[Any]", R]
"""A generator that yields units, and branches that are flows themselves, is sent their results, and returns its own.

Those that it yields at once run side by side. What one of them raises is raised where they were yielded; the others are
then of no use, and no longer run.
"""


class Branch(Generic[R]):
    """A flow on its way. Several flows may wait for the same one.

    Args:
        flow: The flow, not yet begun.
    """

    def __init__(self, flow: Flow[R]) -> None:
        self.flow = flow
        self.ended: Ended[R] | None = None
        self.wanted: Sequence[Wanted] | None = None
        """What it waits for; None before it has begun."""


class _Driver:
    """Runs a flow and all that it wants, what was wanted first, first."""

    def __init__(self, pool: Pool, board: Board) -> None:
        self._pool, self._board = pool, board
        self._ready: deque[Wanted] = deque()
        self._waiting: dict[Wanted, list[Branch[Any]]] = {}  # who waits for what; without anybody, it is of no use
        self._ended: dict[Unit[Any], Ended[Any]] = {}
        self._flying: set[Unit[Any]] = set()
        self._open: dict[Branch[Any], None] = {}  # in the order of their beginning

    def run(self, root: Branch[Any]) -> Any:
        self._ready.append(root)
        self._waiting[root] = []
        try:
            while True:
                self._begin()
                if root.ended is not None:
                    return _value(root.ended)
                assert self._flying, "flows that wait for one another"
                unit, ended = self._pool.wait()
                self._flying.discard(unit)
                if unit in self._waiting:
                    self._board.ended(unit, ended.seconds)
                    self._ended[unit] = ended
                    self._tell(unit)
                else:
                    self._board.dropped(unit)
        finally:
            for branch in reversed(list(self._open)):  # the innermost first: each lets go of what it holds
                branch.flow.close()

    def _begin(self) -> None:
        while self._ready and self._pool.room() > 0:
            one = self._ready.popleft()
            if one not in self._waiting:
                continue
            if isinstance(one, Unit):
                self._flying.add(one)
                self._pool.submit(one)
            elif one.wanted is None:
                self._open[one] = None
                self._step(one, [])

    def _step(self, branch: Branch[Any], results: list[Any] | None, error: Exception | None = None) -> None:
        """Lets a flow go on until it waits for something that has not ended."""
        while True:
            try:
                wanted = branch.flow.throw(error) if error is not None else _go_on(branch, results)
            except StopIteration as stop:
                self._finish(branch, Ended(stop.value))
                return
            except Exception as raised:
                self._finish(branch, Ended(error=raised))
                return
            branch.wanted = wanted
            for one in reversed(wanted):
                if one not in self._waiting and self._outcome(one) is None:
                    self._ready.appendleft(one)
                self._waiting.setdefault(one, []).append(branch)
            said = self._answer(branch)
            if said is None:
                return
            results, error = said

    def _answer(self, branch: Branch[Any]) -> tuple[list[Any] | None, Exception | None] | None:
        """What a branch is told: results, or the first error; None while there is nothing to tell."""
        outcomes = [self._outcome(one) for one in branch.wanted or ()]
        failed = next((one.error for one in outcomes if one is not None and one.error is not None), None)
        if failed is None and any(one is None for one in outcomes):
            return None
        for one in branch.wanted or ():
            self._leave(branch, one)
        branch.wanted = ()
        return (
            (None, failed) if failed is not None else ([one.result for one in outcomes if one is not None], None)
        )

    def _outcome(self, one: Wanted) -> Ended[Any] | None:
        return one.ended if isinstance(one, Branch) else self._ended.get(one)

    def _finish(self, branch: Branch[Any], ended: Ended[Any]) -> None:
        branch.ended = ended
        del self._open[branch]
        self._tell(branch)

    def _tell(self, one: Wanted) -> None:
        for branch in list(self._waiting.get(one, ())):
            said = self._answer(branch) if branch.ended is None and one in (branch.wanted or ()) else None
            if said is not None:
                self._step(branch, *said)

    def _leave(self, branch: Branch[Any], one: Wanted) -> None:
        """A branch waits for something no more; what nobody waits for is given up."""
        waiting = self._waiting.get(one)
        if waiting is None or branch not in waiting:
            return
        waiting.remove(branch)
        if waiting:
            return
        del self._waiting[one]
        if isinstance(one, Unit):
            self._ended.pop(one, None)
        elif one.ended is None:
            one.ended = Ended(error=RuntimeError("given up"))
            if one in self._open:
                del self._open[one]
                one.flow.close()
            for inner in one.wanted or ():
                self._leave(one, inner)


def run_flow(flow: Flow[R], pool: Pool, board: Board) -> R:
    """Runs a flow to its end and returns its result.

    Units are given to the pool in the order in which they are wanted, and further flows begin when the pool has room:
    what a flow holds, such as a dataset, is held by few at a time.

    Args:
        flow: The flow.
        pool: Where the units run.
        board: Told which units have ended.

    Raises: what the flow raises.
    """
    result: R = _Driver(pool, board).run(Branch(flow))
    return result


def _go_on(branch: Branch[Any], results: list[Any] | None) -> Sequence[Wanted]:
    return next(branch.flow) if branch.wanted is None else branch.flow.send(results or [])


def _value(ended: Ended[Any]) -> Any:
    if ended.error is not None:
        raise ended.error
    return ended.result
