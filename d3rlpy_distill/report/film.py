"""Films of policies side by side, each with its name and its return so far."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ..errors import SettingsError
from ..files import appears_atomically, check_output

if TYPE_CHECKING:
    from ..policies import Policy
    from ..tasks.base import Shot, Task

__all__ = ["Film", "film_policies", "plan_film", "policy_title", "save_film"]

FRAMES_PER_SECOND = 15
HEIGHT = 256
COLOURS = 128
BAR = 20
TIMED = 20


def save_film(
    shots: Iterable[Shot],
    titles: Sequence[str],
    path: Path,
    *,
    height: int = HEIGHT,
    every: int = 1,
    overwrite: bool = False,
) -> npt.NDArray[np.float64]:
    """Draws shots as a GIF and returns the last returns, ``(P,)``.

    Args:
        shots: Of P policies, from :meth:`~..tasks.Task.film`.
        titles: P names.
        path: File to make; it appears only when it is complete.
        height: Of a policy's frames, in pixels; a smaller one makes a smaller file.
        every: Show every n-th shot alone, at the same pace.
        overwrite: Replace what is there; by default it is refused.

    Raises:
        SettingsError: If the path does not end in ``.gif``.
        OutputExistsError: If the file exists.
    """
    _check(path, overwrite)
    returns = np.zeros(len(titles))
    pictures: list[Image.Image] = []
    for n, shot in enumerate(shots):
        if n % every == 0:
            picture = _picture(shot, titles, height)
            # one palette for all: what does not move then stays the same bytes
            pictures.append(
                picture.quantize(COLOURS)
                if not pictures
                else picture.quantize(palette=pictures[0], dither=Image.Dither.NONE)
            )
        returns = shot.returns
    with appears_atomically(path, overwrite=overwrite) as partial:
        pictures[0].save(
            partial,
            "GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=1000 * every // FRAMES_PER_SECOND,
            loop=0,
        )
    return returns


def film_policies(
    task: Task,
    policies: Sequence[str],
    path: Path,
    *,
    split: str | None = None,
    greedy: bool = False,
    seed: int = 0,
    max_steps: int = 600,
    trust: bool = False,
    overwrite: bool = False,
    on_shot: Callable[[], None] = lambda: None,
) -> list[float]:
    """Films one episode of each policy, all from the same start.

    Args:
        task: What they play.
        policies: Names or files, as :meth:`~..tasks.Task.load_policy` takes them.
        path: The ``.gif`` to make.
        split: Of the task; by default the first one that it is evaluated on.
        greedy: Take the likeliest action instead of sampling.
        seed: Fixes the start and the sampling of actions.
        max_steps: Steps at most.
        trust: Load files that hold pickled code, too.
        overwrite: Replace what is there; by default it is refused.
        on_shot: Called after each shot, for progress.

    Returns:
        The return of each policy.

    Raises:
        SettingsError: If the task has no such split, or the path does not end in ``.gif``.
        OutputExistsError: If the file exists.
        DistillError: If a policy cannot be loaded.
    """
    film = plan_film(task, policies, path, split=split, trust=trust, overwrite=overwrite)
    return film.save(greedy=greedy, seed=seed, max_steps=max_steps, on_shot=on_shot)


@dataclasses.dataclass(frozen=True, eq=False)
class Film:
    """A film of policies that is ready to be made.

    Args:
        task: What they play.
        policies: They.
        titles: Their names.
        path: The ``.gif`` to make.
        split: Of the task.
        overwrite: Replace what is there.
    """

    task: Task
    policies: Sequence[Policy]
    titles: Sequence[str]
    path: Path
    split: str
    overwrite: bool

    def shots(self, *, greedy: bool, seed: int, max_steps: int) -> Iterator[Shot]:
        """Yields its shots, see :meth:`~..tasks.Task.film`."""
        return self.task.film(self.policies, split=self.split, greedy=greedy, seed=seed, max_steps=max_steps)

    def seconds(self, *, greedy: bool, seed: int, max_steps: int) -> float:
        """Returns about how long it takes to make at most, from its first shots; drawing them takes as long again."""
        shots = self.shots(greedy=greedy, seed=seed, max_steps=max_steps)
        next(shots)
        start = time.perf_counter()
        taken = sum(1 for _ in itertools.islice(shots, TIMED))
        return 2 * (time.perf_counter() - start) / max(taken, 1) * max_steps

    def save(self, *, greedy: bool, seed: int, max_steps: int, on_shot: Callable[[], None]) -> list[float]:
        """Makes it; see :func:`film_policies`."""

        def told() -> Iterable[Shot]:
            for shot in self.shots(greedy=greedy, seed=seed, max_steps=max_steps):
                yield shot
                on_shot()

        returns: list[float] = save_film(told(), self.titles, self.path, overwrite=self.overwrite).tolist()
        return returns


def plan_film(
    task: Task,
    policies: Sequence[str],
    path: Path,
    *,
    split: str | None = None,
    trust: bool = False,
    overwrite: bool = False,
) -> Film:
    """Returns a film that is ready to be made; see :func:`film_policies`."""
    _check(path, overwrite)
    split = split or task.default_splits[0]
    if split not in task.splits:
        raise SettingsError(f"split {split!r}: {task.name} has {', '.join(task.splits)}.")
    loaded = [task.load_policy(name, trust=trust).policy for name in policies]
    return Film(task, loaded, [policy_title(name) for name in policies], path, split, overwrite)


def policy_title(name: str) -> str:
    """Returns what a policy is called in a film: its file's stem; a kept student's arm and number."""
    path = Path(name)
    return f"{path.parent.name} {path.stem}" if path.stem.isdigit() else path.stem


def _check(path: Path, overwrite: bool) -> None:
    check_output(path, overwrite=overwrite)
    if path.suffix != ".gif":
        raise SettingsError(f"{path}: expected a name that ends in .gif.")


def _picture(shot: Shot, titles: Sequence[str], tall: int) -> Image.Image:
    """The policies side by side, each with its name and its return so far above it."""
    height, width = shot.frames.shape[1:3]
    width = round(width * tall / height)
    picture = Image.new("RGB", (width * len(titles), tall + BAR))
    draw = ImageDraw.Draw(picture)
    for i, (title, value, over) in enumerate(zip(titles, shot.returns, shot.over, strict=True)):
        frame = Image.fromarray(np.ascontiguousarray(shot.frames[i])).resize((width, tall), Image.Resampling.BOX)
        picture.paste(frame, (i * width, BAR))
        draw.text((i * width + 4, 4), f"{title}: {value:g}{' (over)' if over else ''}", fill="white")
    return picture
