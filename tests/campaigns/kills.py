"""Kills: the same command runs again, perhaps killed again, and in the end it has made what it would have made."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import hostile_archives
from d3rlpy_distill import Distilled
from d3rlpy_distill.evaluation.results import Results
from d3rlpy_distill.sweeping import load_sweep
from procgen_datasets.expert import load_expert

from .children import Ended, Said, Try, command, run
from .corpus import Unit
from .digests import LOADERS, digest
from .tally import Clock, Tally

__all__ = ["Killed", "commands_to_kill", "content_of", "finish", "kill_campaign", "words_of"]

SECONDS = 300.0
CHAIN = 3  # kills of one run at most
PATIENCE = 60.0  # seconds until what a killed command had started is gone


@dataclasses.dataclass(frozen=True)
class Killed:
    """A command to kill.

    Args:
        name: Row of the table.
        words: The command but for its output.
        content: Of the output, as a hash; what may differ between two runs, such as seconds, is not in it. Empty where
            no more is promised than that the command ends well.
        directory: Whether the output is a directory.
        resume: Option to add once it has begun, and the file that says so.
        real: Start the interpreter, too.
    """

    name: str
    words: tuple[object, ...]
    content: Callable[[Path], str]
    directory: bool = False
    resume: tuple[str, str] | None = None
    real: bool = False


def commands_to_kill(units: Sequence[Unit], folder: Path) -> list[Killed]:
    known = {unit.name: unit for unit in units}
    data = known["dataset"].folder
    cart, frames, hard = data / "cart.h5", data / "frames.h5", data / "hard.h5"
    collect = ("collect", "gym/CartPole-v1", "--policy", "random", "--episodes", 60)
    anyhow = ("evaluate", cart, hard, "--students", 3, "--episodes", 3, "--full-steps", 8, "--small-steps", 8,
              "--splits", "test")  # fmt: skip
    evaluate = (*anyhow, "--jobs", 1)
    sweep = ("sweep", cart, "--methods", "gradient,random", "--sizes", "4,6", "--steps", 2, "--students", 2,
             "--episodes", 2, "--small-steps", 3, "--full-steps", 3, "--splits", "test", "--jobs", 1)  # fmt: skip
    ppo = (
        "train-expert",
        "gym/CartPole-v1",
        "--steps",
        512,
        "--envs",
        2,
        "--n-steps",
        32,
        "--batch-size",
        32,
        "--card-episodes",
        2,
    )
    sac = ("train-expert", "gym/Pendulum-v1", "--steps", 300, "--learning-starts", 200, "--snapshot-every", 100,
           "--card-episodes", 1)  # fmt: skip
    kernel = ("distill", cart, "--method", "kernel", "--samples", 6, "--n-teachers", 1, "--teacher-steps", 60,
              "--moves", 60)  # fmt: skip
    archive = folder / "a.tar.xz"
    _archive(archive)
    commands = [
        Killed("collect gym", collect, LOADERS["dataset"]),
        Killed("distill gradient", ("distill", cart, "--samples", 6, "--steps", 160), LOADERS["distilled"]),
        Killed("distill labels", ("distill", cart, "--method", "labels", "--samples", 6, "--steps", 130),
               LOADERS["distilled"]),
        Killed("distill unrolled", ("distill", cart, "--method", "unrolled", "--samples", 6, "--steps", 110),
               LOADERS["distilled"]),
        Killed("distill kernel", kernel, LOADERS["distilled"]),
        Killed("evaluate", evaluate, _results, directory=True),
        Killed("sweep", sweep, _sweep, directory=True),
        Killed("train-expert gym", ppo, _exists, directory=True, resume=("--resume", "checkpoint.pt")),
        Killed("train-expert SAC", sac, _played, directory=True, resume=("--resume", "checkpoint.pt")),
        Killed("import", ("import", "gen-dgrl", archive, "--game", "coinrun"), LOADERS["dataset"]),
        Killed("collect, real", collect, LOADERS["dataset"], real=True),
        Killed("distill, real", ("distill", cart, "--samples", 6, "--steps", 400), LOADERS["distilled"], real=True),
        Killed("evaluate, real", evaluate, _results, directory=True, real=True),
        Killed("evaluate --jobs 2, real", (*evaluate, "--jobs", 2), _results, directory=True, real=True),
        Killed("sweep --jobs 2, real", (*sweep, "--jobs", 2), _sweep, directory=True, real=True),
    ]  # fmt: skip
    if importlib.util.find_spec("ray") is not None:
        ray = (*anyhow, "--executor", "ray")
        commands.append(Killed("evaluate --executor ray, real", ray, _results, directory=True, real=True))
    if "dataset, frames" in known:
        training = ("train-expert", "starpilot", "--steps", 768, "--envs", 8, "--horizon", 32, "--epochs", 1,
                    "--phase", 1, "--minibatches", 4, "--card-episodes", 1)  # fmt: skip
        commands += [
            Killed("collect starpilot", ("collect", "starpilot", "--policy", "random", "--episodes", 4, "--envs", 2),
                   LOADERS["dataset"]),
            Killed("distill frames", ("distill", frames, "--samples", 4, "--steps", 60), LOADERS["distilled"]),
            Killed("train-expert starpilot", training, _weights, directory=True, resume=("--resume", "checkpoint.pt")),
        ]  # fmt: skip
    return commands


def kill_campaign(units: Sequence[Unit], count: int, tally: Tally, clock: Clock, folder: Path) -> None:
    """Kills every command in turn, at random times.

    Args:
        units: Good files, which the commands read.
        count: Kills.
        tally: Gets the outcomes; its seed draws the times.
        clock: Ends the campaign.
        folder: Scratch space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    commands = commands_to_kill(units, folder)
    if count < len(commands):
        commands = [one for one in commands if not one.real]
    whole: dict[str, tuple[str, float]] = {}
    turn = 0
    while tally.total < count and not clock.over():
        one, key = commands[turn % len(commands)], str(turn)
        rng = np.random.default_rng([tally.seed, 2, turn])
        turn += 1
        if key in tally.done or (one.real and turn > 5 * len(commands)):  # the slowest
            continue
        out = folder / one.name.replace(" ", "-").replace(",", "") / "out"
        out = out if one.directory else out.with_suffix(".h5")
        shutil.rmtree(out.parent, ignore_errors=True)  # of a campaign that was stopped
        if one.name not in whole:
            start = time.monotonic()
            finish(one, out)
            whole[one.name] = content_of(one, out), time.monotonic() - start
            shutil.rmtree(out.parent)
        content, seconds = whole[one.name]
        kills = int(rng.integers(1, CHAIN + 1))
        times = [float(t) for t in rng.uniform(0, 1.05 * seconds, kills)]
        killed, kind, why = _chain(one, out, times, content)
        about = f"killed after {', '.join(f'{t:.2f}' for t in times)} s: {why}"
        tally.add(one.name, kind, about, key=key, count=killed if kind == "same" else 1)
        shutil.rmtree(out.parent, ignore_errors=True)


def _chain(one: Killed, out: Path, times: Sequence[float], content: str) -> tuple[int, str, str]:
    """Kills a command at each of the times and lets it end; returns the kills, what came of them, and why."""
    killed = sum(_kill(one, out, seconds) for seconds in times)
    kind, why = "same", ""
    try:
        finish(one, out)
        if content_of(one, out) != content:
            kind, why = "different", "other content"
        elif left := [str(p) for p in out.parent.rglob(".*") if p.name != ".lock" or not one.directory]:
            kind, why = "leftovers", ", ".join(left)
    except RuntimeError as error:
        kind, why = "lost", str(error)
    return killed, kind, why


def words_of(one: Killed, out: Path) -> list[object]:
    words = [*one.words, "--out", out]
    if one.resume is not None and (out / one.resume[1]).exists():
        words.append(one.resume[0])
    return words


def _kill(one: Killed, out: Path, seconds: float) -> bool:
    """Starts the command and kills it; whether it was still there."""
    words = words_of(one, out)
    if one.real:
        with subprocess.Popen(_real(words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(seconds)
                return False
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                return True
    return run(Try(one.name, command, tuple(words), SECONDS, kill=seconds)).kind == "killed"


def finish(one: Killed, out: Path) -> None:
    """Runs the command to its end; what a killed one had started may still be at work."""
    until = time.monotonic() + PATIENCE
    while True:
        said = _said(one, out)
        if said.code == 0:
            return
        if time.monotonic() > until or "being made by" not in said.err + said.out:
            raise RuntimeError(f"exit {said.code}: {(said.err + said.out)[-600:]}")
        time.sleep(1)


def _said(one: Killed, out: Path) -> Said:
    words = words_of(one, out)
    if one.real:
        done = subprocess.run(_real(words), capture_output=True, text=True, timeout=SECONDS, check=False)
        return Said(done.returncode, done.stdout, done.stderr)
    ended: Ended = run(Try(one.name, command, tuple(words), SECONDS))
    if ended.kind != "value":
        raise RuntimeError(f"{ended.kind} {ended.text}")
    said: Said = ended.value
    return said


def _real(words: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "rld_distill", *map(str, words)]


def content_of(one: Killed, out: Path) -> str:
    ended = run(Try(one.name, one.content, (out,), SECONDS))
    if ended.kind != "value":
        raise RuntimeError(f"its output cannot be read: {ended.kind} {ended.text}")
    content: str = ended.value
    return content


def _results(out: Path) -> str:
    results = Results.load(out)
    return digest([[arm.name, arm.split, arm.mode, arm.returns] for arm in results.arms])


def _sweep(out: Path) -> str:
    cells = load_sweep(out / "sweep.json")
    returns = [[arm.name, arm.split, arm.returns] for cell in cells for arm in cell.results.arms]
    return digest([returns, [Distilled.load(path).sha256 for path in sorted(out.glob("*.h5"))]])


def _weights(out: Path) -> str:
    return digest(dict(load_expert(out / "starpilot.safetensors", dtype=torch.float32).network.state_dict()))


def _played(out: Path) -> str:
    """That SAC left its policies, each with a card of its own, and what was played."""
    for name in ("policy.safetensors", "medium.safetensors"):
        LOADERS["actor"](out / name)
    LOADERS["dataset"](out / "medium-replay.h5")
    return ""


def _exists(out: Path) -> str:
    LOADERS["policy"](out / "policy.zip")
    return ""


def _archive(path: Path) -> None:
    """A gen_dgrl archive of 200 episodes."""
    members = []
    for i in range(200):
        data = hostile_archives.npy(hostile_archives.valid_pickle(4))
        members.append(hostile_archives.member(data, f"2022_{i}_1_{i}_0.50.npy"))
    path.write_bytes(hostile_archives.tar(*members))
