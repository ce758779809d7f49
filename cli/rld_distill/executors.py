"""Options that say where units of work run, and what people are shown of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from .complete import Known

if TYPE_CHECKING:
    from d3rlpy_distill.executors import Executor

__all__ = ["chosen_executor", "executor_options", "off_stdout"]

F = TypeVar("F", bound=Callable[..., Any])


def executor_options(f: F) -> F:
    """Adds ``--executor``, ``--address``, ``--jobs`` and ``--cores``."""
    options = (
        click.option(
            "--executor",
            type=Known("executors"),
            default="local",
            show_default=True,
            help="Where units of work run: one of 'rld-distill list executors'.",
        ),
        click.option(
            "--address", help="Of a running Ray cluster, for example auto.  [default: Ray on this machine]"
        ),
        click.option(
            "--jobs",
            type=click.IntRange(1),
            help="Units at a time; 1 runs them in this process.  [default: as many as there are cores]",
        ),
        click.option(
            "--cores",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Cores of each unit, on which last bits depend.",
        ),
    )
    for option in reversed(options):
        f = option(f)
    return f


def chosen_executor(name: str, address: str | None, jobs: int | None, cores: int) -> Executor:
    """Returns the executor that these options name."""
    from d3rlpy_distill.catalogue import EXECUTORS
    from d3rlpy_distill.cores import available_cores

    if name == "local" and jobs is None:
        jobs = max(1, available_cores() // cores)
    return EXECUTORS.get(name)(jobs=jobs, address=address)


@contextlib.contextmanager
def off_stdout() -> Iterator[None]:
    """What is printed in here goes to stderr: Ray says on stdout what happens to its nodes, which is no result."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
