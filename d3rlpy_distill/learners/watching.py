"""Who is told of a training: d3rlpy's logger, its progress bar, a callback. Nothing of it changes the result."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

from d3rlpy.base import save_config
from d3rlpy.logging import D3RLPyLogger, LoggerAdapterFactory, NoopAdapterFactory
from tqdm.auto import tqdm

from ..errors import SettingsError
from .learner import AnyLearner

__all__ = ["SILENT", "Watching", "watched"]


@dataclasses.dataclass(frozen=True)
class Watching:
    """Who is told of a training, in the words of d3rlpy's ``fit``.

    Args:
        on_step: Called with each step taken, from 1.
        show_progress: Show d3rlpy's progress bar, on stderr.
        logger_adapter: Where metrics and models go, such as :class:`d3rlpy.logging.FileAdapterFactory`; None keeps
            none.
        n_steps_per_epoch: Steps after which metrics are written and the model is saved; None makes one epoch.
    """

    on_step: Callable[[int], None] | None = None
    show_progress: bool = False
    logger_adapter: LoggerAdapterFactory | None = None
    n_steps_per_epoch: int | None = None

    def epoch(self, n_steps: int) -> int:
        """Returns the length of an epoch of a training of so many steps.

        Raises:
            SettingsError: If epochs of that length do not make up the training: d3rlpy would leave out the rest.
        """
        length = max(1, n_steps) if self.n_steps_per_epoch is None else self.n_steps_per_epoch
        if length < 1 or n_steps % length:
            raise SettingsError(
                f"n_steps_per_epoch={length}: expected a divisor of n_steps={n_steps}, or None for one epoch."
            )
        return length

    @property
    def adapter(self) -> LoggerAdapterFactory:
        """Where d3rlpy sends metrics and models."""
        return self.logger_adapter or NoopAdapterFactory()


SILENT = Watching()


@contextlib.contextmanager
def watched(learner: AnyLearner, n_steps: int, watching: Watching) -> Iterator[Callable[[int, float], None]]:
    """Watches a training loop of ours as d3rlpy watches its own; yields what to call with each step and its loss.

    Args:
        learner: What is trained.
        n_steps: How many steps there will be.
        watching: Who is told.

    Raises:
        SettingsError: See :meth:`Watching.epoch`.
    """
    epoch = watching.epoch(n_steps)
    if watching.logger_adapter is None and not watching.show_progress:
        yield lambda step, loss: None if watching.on_step is None else watching.on_step(step)
        return
    logger = D3RLPyLogger(learner, watching.adapter, type(learner).__name__, epoch)
    save_config(learner, logger)
    with contextlib.closing(logger), tqdm(total=n_steps, disable=not watching.show_progress) as bar:

        def told(step: int, loss: float) -> None:
            logger.add_metric("loss", loss)
            bar.set_description(f"Epoch {(step - 1) // epoch + 1}/{n_steps // epoch}", refresh=False)
            bar.set_postfix(loss=loss, refresh=False)
            bar.update()
            if watching.on_step is not None:
                watching.on_step(step)
            if step % epoch == 0:
                logger.commit(step // epoch, step)
                logger.save_model(step, learner)

        yield told
