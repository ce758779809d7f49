"""The quickstart: all data against 150 samples on starpilot, with students that play well, in minutes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from d3rlpy_distill.cores import available_cores
from d3rlpy_distill.data import OfflineDataset
from d3rlpy_distill.evaluation import Protocol, Results
from d3rlpy_distill.executors import LocalExecutor
from d3rlpy_distill.files import check_directory, check_output, claimed
from d3rlpy_distill.methods import Distilled
from d3rlpy_distill.pipeline import distill_to_file, load, plan_evaluation
from d3rlpy_distill.report.film import save_film
from d3rlpy_distill.report.returns import save_returns
from d3rlpy_distill.students import Budget
from d3rlpy_distill.students.kept import load_student
from d3rlpy_distill.tasks import make_task

__all__ = ["MEASURED", "QuickstartConfig", "QuickstartResult", "check_quickstart", "run_quickstart"]

ALL, RANDOM, RANDOM_SOFT, DISTILLED = "bc-100-soft", "random-{n}", "random-soft-{n}", "soft-{n}"
PLOT, FILM = "returns.png", "play.gif"
FILM_STEPS, FILM_HEIGHT, FILM_EVERY = 240, 144, 3  # a file of about 2 MB
FULL_BUDGET, SMALL_BUDGET = Budget(2500, 64), Budget(2000, 64)
MEASURED = "6 minutes on 2 cores of an AMD EPYC (Zen 5)"


@dataclasses.dataclass(frozen=True)
class QuickstartConfig:
    """How large it is; far smaller than the protocol, so that it takes minutes.

    Args:
        game: A game with a bundled expert and a recipe ``GAME-expert``.
        student: What is trained, a student that plays well.
        samples: Size of the distilled set.
        teachers: Students of all data that label the samples and views of them.
        full_budget: Of teachers and of students of all data.
        small_budget: Of students of few samples.
        students: Students an arm.
        episodes: Episodes each, on each set of levels.
        seed: Fixes everything random.
    """

    game: str = "starpilot"
    student: str = "impala-s2d"
    samples: int = 150
    teachers: int = 2
    full_budget: Budget = FULL_BUDGET
    small_budget: Budget = SMALL_BUDGET
    students: int = 2
    episodes: int = 20
    seed: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class QuickstartResult:
    """What it found, and where it is.

    Args:
        results: Of the evaluation.
        plot: PNG of the returns.
        film: GIF of the expert and three students side by side.
        text: What was seen, and what to type next.
    """

    results: Results
    plot: Path
    film: Path
    text: str


def run_quickstart(
    config: QuickstartConfig,
    directory: Path,
    *,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> QuickstartResult:
    """Collects, distils, evaluates, draws and films; run again, it goes on where it stopped.

    Args:
        config: How large it is.
        directory: Where everything goes.
        say: Told of each of the five stages.
        progress: Told of every step.

    Raises:
        InUseError: If another process is at work in the directory.
    """
    with claimed(directory, directory=True):
        return _run(config, directory, say, progress)


def _run(
    config: QuickstartConfig,
    directory: Path,
    say: Callable[[str], None],
    progress: Callable[[str, int, int], None],
) -> QuickstartResult:
    n, name = config.samples, f"{config.game}-expert"
    again = check_quickstart(directory)
    say(f"1/5 collecting 100 episodes of the bundled {config.game} expert")
    dataset = load(name, data_directory=directory)
    say(
        f"2/5 training {config.teachers} teachers on them, who label {n} of its frames and thousands of views of them"
    )
    small = _distil(config, dataset, directory / f"{config.game}-views-{n}.h5", progress)
    arms = [arm.format(n=n) for arm in (ALL, RANDOM, RANDOM_SOFT, DISTILLED)]
    say(f"3/5 training and playing {config.students} students of each of: {', '.join(arms)}")
    plan = plan_evaluation(
        dataset,
        [small],
        student=config.student,
        protocol=Protocol(
            config.students, config.episodes, config.full_budget, config.small_budget, seed=config.seed
        ),
        arms=["random-policy", "expert", *arms],
    )
    executor = LocalExecutor(jobs=min(available_cores(), config.students))
    results = plan.run(directory / "results", executor=executor, progress=progress)
    say("4/5 drawing the returns")
    plot = save_returns(results, directory / PLOT, overwrite=again)
    say("5/5 filming the expert and a student of each side by side")
    film = directory / FILM
    task = make_task(f"procgen/{config.game}")
    shown = {"expert": task.load_policy(config.game).policy}
    for title, arm in (("all data", arms[0]), (f"{n} random", arms[1]), (f"{n} distilled", arms[3])):
        shown[title] = load_student(directory / "results" / "students" / arm / "0.safetensors").policy
    shots = task.film(list(shown.values()), split="id", greedy=False, seed=config.seed, max_steps=FILM_STEPS)
    save_film(shots, list(shown), film, height=FILM_HEIGHT, every=FILM_EVERY, overwrite=again)
    return QuickstartResult(results, plot, film, _text(config, dataset, results, arms))


def check_quickstart(directory: Path) -> bool:
    """Refuses a directory with files in the way; tells whether its pictures are those of the last time.

    Raises:
        OutputExistsError: If a picture is there that is not ours.
        OutputPathError: If nothing can be written there.
    """
    check_directory(directory)
    again = (directory / "results" / "results.json").exists()
    for picture in (PLOT, FILM):
        check_output(directory / picture, overwrite=again)
    return again


def _distil(
    config: QuickstartConfig, dataset: OfflineDataset, path: Path, progress: Callable[[str, int, int], None]
) -> Distilled:
    distill_to_file(
        dataset,
        path,
        "views",
        student=config.student,
        seed=config.seed,
        on_step=lambda step, total, loss: progress("training teachers", step, total),
        n_samples=config.samples,
        n_teachers=config.teachers,
        teacher_steps=config.full_budget.n_steps,
    )
    return Distilled.load(path)


def _text(config: QuickstartConfig, dataset: OfflineDataset, results: Results, arms: list[str]) -> str:
    n = config.samples
    means = [_mean(results, arm) for arm in arms]
    everything, random, random_soft, distilled = means
    expert, nothing = _mean(results, "expert"), _mean(results, "random-policy")
    return "\n".join(
        [
            f"What was seen, mean return over seen and unseen levels ({config.students} students x "
            f"{config.episodes} episodes each, a demonstration and no result):",
            f"- All {len(dataset):,} transitions with the expert's policy as labels: {everything:.1f}. The expert "
            f"itself: {expert:.1f}. Random play: {nothing:.1f}.",
            f"- {n} random transitions with the actions that were taken: {random:.1f}.",
            f"- {n} distilled samples: {distilled:.1f}, "
            f"{_times(distilled, random)} what the random ones return, from {n / len(dataset):.1%} of the data.",
            f"- {n} random frames with a label each of the same teachers: {random_soft:.1f}. "
            + _credit(distilled, random_soft),
            "",
            "Next: measure it with enough students to tell,",
            f"  rld-distill datasets make {config.game}-expert",
            f"  rld-distill distill d3rlpy_data/{config.game}-expert.h5 --method views --student {config.student} "
            f"--out views.h5",
            f"  rld-distill evaluate d3rlpy_data/{config.game}-expert.h5 views.h5 --student {config.student} "
            "--small-steps 2000 --out results/mine",
            "or bring a dataset, a method or a student of your own: examples/ has one file for each.",
        ]
    )


def _mean(results: Results, arm: str) -> float:
    entries = [results.main(arm, split) for split in results.splits]
    return float(np.mean([entry.mean for entry in entries if entry is not None]))


def _times(value: float, reference: float) -> str:
    return f"{value / reference:.1f} times" if reference > 0 else "against"


def _credit(distilled: float, random_soft: float) -> str:
    """Says whose the gain is; with so few students only large differences count."""
    if distilled > 1.25 * random_soft:
        return "The labels of views are what is gained beyond that: the frames are random ones, too."
    if random_soft > 1.25 * distilled:
        return "Here one label a frame did better, and the labels of views gained nothing."
    return "About the same: the labels of views gained nothing."
