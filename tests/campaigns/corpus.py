"""One file of every kind that we write, made by the commands themselves, in seconds."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import procgen_datasets
from d3rlpy_distill import OfflineDataset

from .children import Said, Try, command, run
from .digests import ARGUMENTS, IDENTITY

__all__ = ["Unit", "ask", "make_corpus"]

UNITS = "units.json"
BUNDLED = Path(procgen_datasets.__file__).parent / "distilled"


@dataclasses.dataclass(frozen=True)
class Unit:
    """A kind of file.

    Args:
        name: Of the kind.
        folder: Holds the files that belong together.
        files: Those to be damaged, relative to it.
        loader: Of :data:`~.digests.LOADERS`.
        loaded: What the loader is given, where it is not the file that was damaged.
        sealed: Whether all of its content is vouched for.
    """

    name: str
    folder: Path
    files: tuple[str, ...]
    loader: str
    loaded: str | None = None
    sealed: bool = True


def ask(*arguments: object, seconds: float = 300.0) -> Said:
    """Runs a command in a process of its own; it must succeed."""
    ended = run(Try("corpus", command, arguments, seconds))
    print(f"{ended.seconds:5.1f} s  {' '.join(str(one) for one in arguments[:4])}", file=sys.stderr)
    if ended.kind != "value" or ended.value.code != 0:
        raise RuntimeError(f"{arguments}: {ended.kind} {ended.value} {ended.text}")
    said: Said = ended.value
    return said


def make_corpus(folder: Path, *, procgen: bool = True) -> list[Unit]:
    """Makes the files, or finds those of the last time.

    Args:
        folder: Where; it is made.
        procgen: Also those of Procgen's games and the bundled ones, which are larger.
    """
    known = folder / UNITS
    if known.exists():
        made = [Unit(**value) for value in json.loads(known.read_bytes())]
        return [dataclasses.replace(unit, folder=Path(unit.folder), files=tuple(unit.files)) for unit in made]
    folder.mkdir(parents=True, exist_ok=True)
    cart = folder / "cart.h5"
    ask("collect", "gym/CartPole-v1", "--policy", "random", "--episodes", 8, "--out", cart)
    units = [Unit("dataset", folder, ("cart.h5",), "dataset")]
    units += [*_distilled(folder, cart), *_evaluated(folder, cart), *_swept(folder, cart), *_trained(folder)]
    units += _actor_critic(folder / "pendulum")
    units += [*_plain(folder), *_mapped(folder / "mapped", cart)]
    if procgen:
        units += _procgen(folder)
    known.write_text(json.dumps([{**dataclasses.asdict(unit), "folder": str(unit.folder)} for unit in units]))
    return units


def _distilled(folder: Path, cart: Path) -> list[Unit]:
    hard, soft, drawn = (folder / f"{name}.h5" for name in ("hard", "soft", "drawn"))
    ask("distill", cart, "--samples", 10, "--steps", 3, "--out", hard)
    ask("distill", cart, "--method", "labels", "--samples", 10, "--steps", 5, "--out", soft)
    ask("distill", cart, "--method", "random", "--samples", 10, "--out", drawn)
    return [
        Unit("distilled", folder, ("hard.h5",), "distilled"),
        Unit("distilled, soft labels", folder, ("soft.h5",), "distilled"),
        Unit("coreset", folder, ("drawn.h5",), "distilled"),
        _stopped(folder / "stopped", cart, "distillation checkpoint", "--samples", 4, "--steps", 53),
        _stopped(folder / "taught", cart, "checkpoint with teachers", "--method", "kernel", "--samples", 4,
                 "--n-teachers", 1, "--teacher-steps", 5, "--moves", 53),
    ]  # fmt: skip


def _stopped(folder: Path, cart: Path, name: str, *options: object) -> Unit:
    """A distillation that was interrupted after its first checkpoint."""
    folder.mkdir()
    shutil.copy(cart, folder)
    words = ["distill", str(folder / cart.name), *(str(one) for one in options)]
    (folder / ARGUMENTS).write_text(json.dumps(words))
    run(Try("stopped", _stop, (words, folder / "part.h5")))
    if not (folder / "part.h5.checkpoint").exists():
        raise RuntimeError(f"{words} left no checkpoint")
    return Unit(name, folder, ("part.h5.checkpoint",), "resumed")


def _stop(words: Sequence[str], out: Path) -> None:
    """Runs a distillation and interrupts it after its checkpoint."""
    from d3rlpy_distill.methods import loop

    original = loop.save_checkpoint

    def save(*args: Any) -> None:
        original(*args)
        raise KeyboardInterrupt

    loop.save_checkpoint = save
    command(*words, "--out", out)


def _evaluated(folder: Path, cart: Path) -> list[Unit]:
    out = folder / "evaluation"
    ask("evaluate", cart, folder / "hard.h5", "--students", 2, "--episodes", 2, "--full-steps", 5, "--small-steps",
        5, "--splits", "test", "--arms", "random-10,distilled-10", "--jobs", 1, "--out", out)  # fmt: skip
    known = json.loads((out / "evaluation.json").read_bytes())
    known.pop("document_sha256")
    (out / IDENTITY).write_text(json.dumps(known))
    students = sorted(str(one.relative_to(out)) for one in out.rglob("*.safetensors"))[:2]
    returns = sorted(str(one.relative_to(out)) for one in (out / "returns").iterdir())[:2]
    return [
        Unit("student", out, tuple(students), "student"),
        Unit("returns", out, tuple(returns), "kept_returns"),
        Unit("evaluation.json", out, ("evaluation.json",), "record"),
        Unit("results.json", out, ("results.json",), "results"),
        Unit("results.npz", out, ("results.npz",), "results", "results.json"),
    ]


def _swept(folder: Path, cart: Path) -> list[Unit]:
    out = folder / "sweep"
    ask("sweep", cart, "--methods", "random", "--sizes", "4,6", "--students", 2, "--episodes", 2, "--small-steps",
        3, "--full-steps", 3, "--splits", "test", "--jobs", 1, "--out", out)  # fmt: skip
    seconds = next(one.name for one in out.glob("cart-*.json"))
    return [
        Unit("sweep.json", out, ("sweep.json",), "sweep"),
        Unit("sweep.npz", out, ("sweep.npz",), "sweep", "sweep.json"),
        Unit("sweep's seconds", out, (seconds,), "document"),
    ]


def _trained(folder: Path) -> list[Unit]:
    out = folder / "cartpole"
    ask("train-expert", "gym/CartPole-v1", "--steps", 256, "--envs", 2, "--n-steps", 32, "--batch-size", 32,
        "--card-episodes", 2, "--out", out)  # fmt: skip
    return [
        Unit("PPO checkpoint, gymnasium", out, ("checkpoint.pt",), "state"),
        Unit("settings.json", out, ("settings.json",), "document"),
        Unit("policy.zip", out, ("policy.zip",), "policy"),
        Unit("policy.json", out, ("policy.json",), "policy", "policy.zip"),
    ]


def _actor_critic(out: Path) -> list[Unit]:
    ask("train-expert", "gym/Pendulum-v1", "--steps", 600, "--learning-starts", 550, "--snapshot-every", 200,
        "--card-episodes", 2, "--out", out)  # fmt: skip
    snapshot = min((out / "snapshots").iterdir())
    return [
        Unit("SAC checkpoint", out, ("checkpoint.pt",), "state"),
        Unit("SAC policy", out, ("policy.safetensors", "medium.safetensors"), "actor"),
        Unit("its card", out, ("policy.json",), "actor", "policy.safetensors"),
        Unit("SAC's memory", out, ("medium-replay.h5",), "dataset"),
        Unit("snapshot, gymnasium", out, (str(snapshot.relative_to(out)),), "tensors"),
    ]


def _plain(folder: Path) -> list[Unit]:
    ended = run(Try("plain", dump_plain, (folder / "plain.h5",)))
    if ended.kind != "value":
        raise RuntimeError(ended.text)
    return [Unit("d3rlpy's own dump", folder, ("plain.h5",), "dataset", sealed=False)]


def _mapped(folder: Path, cart: Path) -> list[Unit]:
    folder.mkdir()
    dataset = folder / "mapped.h5"
    shutil.copy(cart, dataset)
    ended = run(Try("mapped", map_frames, (dataset,)))
    if ended.kind != "value":
        raise RuntimeError(ended.text)
    return [Unit("frames of a large dataset", folder, (f"{dataset.name}.frames",), "mapped", dataset.name)]


def map_frames(path: Path) -> None:
    """Opens a dataset as large ones are opened: its observations go into a file beside it."""
    OfflineDataset.load(path, mapped=True)


def dump_plain(path: Path) -> None:
    """Writes what d3rlpy writes itself."""
    from buffers import make_buffer

    with path.open("w+b") as file:
        make_buffer([3, 5, 2], shape=(4,), action_size=2).dump(file)


def _procgen(folder: Path) -> list[Unit]:
    frames, moved, soft, run_ = (folder / name for name in ("frames.h5", "moved.h5", "taught.h5", "starpilot"))
    ask("collect", "starpilot", "--policy", "random", "--episodes", 2, "--envs", 2, "--out", frames)
    ask("distill", frames, "--samples", 4, "--steps", 1, "--out", moved)
    ask("distill", frames, "--method", "labels", "--samples", 4, "--steps", 2, "--out", soft)
    ask("train-expert", "starpilot", "--steps", 512, "--envs", 8, "--horizon", 32, "--epochs", 1, "--phase", 1,
        "--minibatches", 4, "--card-episodes", 1, "--out", run_)  # fmt: skip
    old = folder / "old"
    old.mkdir()
    shutil.copy(BUNDLED / "jumper-soft-150.h5", old)
    units = [
        Unit("dataset, frames", folder, ("frames.h5",), "dataset"),
        Unit("distilled, moved frames", folder, ("moved.h5",), "distilled"),
        Unit("distilled, frames, soft labels", folder, ("taught.h5",), "distilled"),
        Unit("PPO checkpoint, Procgen", run_, ("checkpoint.pt",), "state"),
        Unit("expert", run_, ("starpilot.safetensors",), "expert"),
        Unit("expert's card", run_, ("starpilot.json",), "expert", "starpilot.safetensors"),
        Unit("distilled by version 0.1", old, ("jumper-soft-150.h5",), "samples"),
    ]
    snapshots = sorted(str(one.relative_to(run_)) for one in run_.rglob("snapshots/*.safetensors"))
    return [*units, *([Unit("snapshot", run_, tuple(snapshots[:1]), "tensors")] if snapshots else [])]
