"""Full disks and too little memory: one line, exit status 1, nothing half written; with room again, all goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .children import Ended, Said, Try, command, run, vast
from .corpus import Unit
from .kills import Killed, commands_to_kill, content_of, finish, words_of
from .tally import Clock, Tally

__all__ = ["limit_campaign"]

SECONDS = 300.0
ENOUGH = 64 << 20


@dataclasses.dataclass(frozen=True)
class Limit:
    """What there is too little of.

    Args:
        name: Column of the failures' text.
        kind: ``"file"``: bytes a file may have; ``"disk"``: bytes of the file system; ``"memory"``: bytes more.
        amount: Bytes.
    """

    name: str
    kind: str
    amount: int


def limit_campaign(units: Sequence[Unit], count: int, tally: Tally, clock: Clock, folder: Path) -> None:
    """Runs every command with too little of something, and then with enough.

    Args:
        units: Good files, which the commands read.
        count: Limits.
        tally: Gets the outcomes; its seed draws the limits.
        clock: Ends the campaign.
        folder: Scratch space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    commands = [one for one in commands_to_kill(units, folder) if not one.real or _spread(one)]
    whole: dict[str, tuple[str, list[int]]] = {}
    disks = _can_mount(folder)
    turn = 0
    while tally.total < count and not clock.over():
        one, kind = commands[turn % len(commands)], ("file", "disk", "memory")[turn // len(commands) % 3]
        key, rng = str(turn), np.random.default_rng([tally.seed, 3, turn])
        turn += 1
        if key in tally.done:
            continue
        if (kind == "disk" and not disks) or (kind == "memory" and _spread(one)):
            kind = "file"  # a limit on memory is each process's own, and stops a worker from starting
        out = _out(folder / "here", one)
        shutil.rmtree(folder / "here", ignore_errors=True)  # of a campaign that was stopped
        if one.name not in whole:
            finish(one, out)
            files = [p.stat().st_size for p in out.parent.rglob("*") if p.is_file()]
            whole[one.name] = content_of(one, out), files
            shutil.rmtree(folder / "here")
        content, files = whole[one.name]
        size = max(files) if kind == "file" else sum(files)
        share = float(rng.uniform(0.02, 0.95))
        amount = int(size * share) if kind != "memory" else int(rng.integers(1, 160)) << 20
        limit = Limit(f"{kind} of {amount} bytes", kind, amount)
        with _room(folder / "here", limit) as place:
            outcome, why = _try(one, _out(place, one), limit, content)
        tally.add(f"{one.name}, {kind}", outcome, f"{limit.name}: {why}", key=key)


def _spread(one: Killed) -> bool:
    """Whether a command has workers, which have its limits."""
    return "--jobs 2" in one.name


def _out(folder: Path, one: Killed) -> Path:
    return folder / ("out" if one.directory else "out.h5")


def _try(one: Killed, out: Path, limit: Limit, content: str) -> tuple[str, str]:
    ended = _limited(one, out, limit)
    if ended.kind != "value":
        return ended.kind, ended.text
    said: Said = ended.value
    outcome = "in one line"
    if said.code == 0:
        outcome = "unharmed"  # there was enough
    elif not _one_line(one, said):
        return "bad line", f"exit {said.code}: {said.out[-300:]} {said.err[-900:]}"
    if said.code and not one.directory and out.exists():
        return "half written", str(out)
    left = [str(p) for p in out.parent.rglob(".*.partial")]
    if left:
        return "leftovers", ", ".join(left)
    if limit.kind == "disk":
        subprocess.run(["mount", "-o", f"remount,size={ENOUGH}", str(out.parent)], check=True)
    try:
        finish(one, out)
        if content_of(one, out) != content:
            return "different", "other content"
    except RuntimeError as error:
        return "lost", f"after {said.err!r}: {error}"
    return outcome, said.err


def _one_line(one: Killed, said: Said) -> bool:
    """Whether a failure was told as it should be; a sweep tells a line for each of its cells."""
    if said.code != 1 or "Traceback" in said.err + said.out or "internal error" in said.err + said.out:
        return False
    return one.name.startswith("sweep") or (said.err.count("\n") == 1 and said.err.startswith("Error: "))


def _limited(one: Killed, out: Path, limit: Limit) -> Ended:
    words = tuple(words_of(one, out))
    if limit.kind == "memory":
        return run(Try(one.name, short_of_memory, (limit.amount, *words), SECONDS))
    limits = ((resource.RLIMIT_FSIZE, limit.amount),) if limit.kind == "file" else ()
    return run(Try(one.name, command, words, SECONDS, limits=limits))


def short_of_memory(amount: int, *words: object) -> Said:
    """Runs a command that may take so many bytes more than this process has."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (vast() + amount, hard))
    try:
        return command(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


@contextlib.contextmanager
def _room(folder: Path, limit: Limit) -> Iterator[Path]:
    """A folder, on a file system of its own where that is what is limited."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if limit.kind != "disk":
        yield folder
        shutil.rmtree(folder)
        return
    size = max(4096, limit.amount // 4096 * 4096)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _can_mount(folder: Path) -> bool:
    """Whether this user may make small file systems."""
    try:
        with _room(folder / "probe", Limit("", "disk", 1 << 20)):
            return True
    except (subprocess.CalledProcessError, OSError):
        return False
