"""Hostile files: refused in one line, or taken without harm; within a gigabyte and a minute, and nothing runs."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pickle
import resource
import shutil
import struct
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

import hostile_archives
from d3rlpy_distill import Distilled, OfflineDataset
from d3rlpy_distill.data import read_episodes
from d3rlpy_distill.errors import DistillError
from d3rlpy_distill.files import SEAL_BYTES, load_tensors, read_document, save_tensors, write_document, write_seal
from d3rlpy_distill.students.kept import load_student

from .children import Ended, Try, command, refusal, run_all, vast
from .corpus import Unit
from .damage import DAMAGES, flip, zeroed
from .digests import LOADERS
from .hostile_hdf5 import DEEP, ESCAPES, attacks, write_hostile
from .hostile_provenance import provenances
from .tally import Clock, Tally

__all__ = ["hostile_campaign"]

SECONDS = 180.0  # a file without a seal is read for 30 s of computing at most, and other programs run, too
PEAK = 1 << 30
MOST = 3 << 30
WHOLE = 300
CANARY = "canary"
SECRET = b"root:x:0:0:secret" * 256

View = Callable[[Path], object]


@dataclasses.dataclass(frozen=True)
class Hostile:
    """A hostile file.

    Args:
        row: Of the table.
        name: What it tries.
        write: Writes it, and what belongs beside it, into a folder; returns the file to read.
        views: Read it, each in its way.
        must: Whether the first of them must refuse it.
    """

    row: str
    name: str
    write: Callable[[Path], Path]
    views: tuple[View, ...]
    must: bool


# what is done with a file


def as_distilled(path: Path) -> object:
    one = Distilled.load(path)
    assert SECRET[:64] not in one.samples.observations.tobytes() + one.samples.actions.tobytes()
    return one.sha256


def as_dataset(path: Path) -> object:
    one = OfflineDataset.load(path)
    policy = one.policy
    assert policy is None or SECRET[:64] not in policy.tobytes()
    return len(one.transitions), one.mean_return, one.sha256


def as_episodes(path: Path) -> object:
    return len(list(read_episodes(path)))


def _reported(path: Path) -> object:
    said = command("report", path.parent if path.name == "results.json" else path, "--format", "md")
    if said.code and (said.err.count("\n") != 1 or not said.err.startswith("Error: ")):
        raise AssertionError(f"exit {said.code}: {said.err[-1500:]}")
    if said.code:
        raise DistillError(said.err.removeprefix("Error: ").rstrip("\n"))
    return said.code


def as_student(path: Path) -> object:
    kept = load_student(path)
    policy: Any = kept.policy
    return tuple(policy.logits(torch.zeros(2, *kept.shape)).shape)


def look(path: Path, views: Sequence[View]) -> list[tuple[str, str]]:
    """What each view makes of it; errors of ours are outcomes, all others end the process."""
    seen = []
    for view in views:
        try:
            seen.append(("taken", repr(view(path))[:200]))
        except DistillError as error:
            seen.append(("refused", str(error)))
    if (path.parent / CANARY).exists():
        seen.insert(0, ("ran code", ""))
    return seen


def hostile_campaign(units: Sequence[Unit], count: int, tally: Tally, clock: Clock, folder: Path) -> None:
    """Reads hostile files of every kind; all that were thought of by hand, and so many more at random.

    Args:
        units: Good files, to make hostile ones of.
        count: Of the table's rows together, where fewer than all are asked for.
        tally: Gets the outcomes; its seed draws them.
        clock: Ends the campaign.
        folder: Scratch space.
    """
    rng = np.random.default_rng([tally.seed, 1])
    known = {unit.name: unit for unit in units}
    every = [*_by_hand(known, folder), *_resealed(known, tally.seed, 120)]
    if count < WHOLE:
        every = [every[i] for i in sorted(rng.choice(len(every), count, replace=False))]
    cases: dict[str, tuple[Hostile, Path]] = {}

    limits = ((resource.RLIMIT_AS, vast() + MOST),)  # a bomb must not take the machine with it

    def tries() -> Iterator[Try]:
        names: Counter[str] = Counter()
        for number, case in enumerate(every):
            if clock.over():
                return
            name = f"{case.row}: {case.name}"
            names[name] += 1
            key = name if names[name] == 1 else f"{name} ({names[name]})"
            if key in tally.done:
                continue
            there = folder / f"{number}"
            shutil.rmtree(there, ignore_errors=True)  # of a campaign that was stopped
            there.mkdir(parents=True)
            path = case.write(there)
            cases[key] = case, path
            yield Try(key, look, (path, case.views), SECONDS, limits)

    print(f"{len(every)} hostile files", file=sys.stderr)
    base = max(ended.peak for _, ended in run_all([Try("nothing", int)], 1))
    for attempt, ended in run_all(tries(), clock.workers):
        case, path = cases.pop(attempt.name)
        kind, why = _judge(case, path, ended, base)
        own = dataclasses.replace(ended, peak=max(0, ended.peak - base))
        if not tally.add(case.row, kind, f"{path.parent.name}, {case.name}: {why}", own, key=attempt.name):
            shutil.rmtree(path.parent)
    row, name = "gen_dgrl archives", "tests/hostile_archives.py"
    if count >= WHOLE and not clock.over() and name not in tally.done:
        for _, ended in run_all([Try(name, archives, (tally.seed, 400), 900.0)], 1):
            if ended.kind == "value":
                for kind, number in zip(("refused", "unharmed"), ended.value, strict=True):
                    tally.add(row, kind, "", key=name, count=number)
            else:
                tally.add(row, ended.kind, f"{name} --seed {tally.seed}: {ended.text}", key=name)


def _judge(case: Hostile, path: Path, ended: Ended, base: int) -> tuple[str, str]:
    if ended.kind != "value":
        return ended.kind, ended.text
    if ended.peak - base > PEAK:
        return "memory", f"{(ended.peak - base) >> 20} MiB"
    if ended.value[0][0] == "ran code":
        return "ran code", ""
    for kind, text in ended.value:
        if kind == "refused" and (wrong := refusal(text, path)):
            return "bad line", wrong
    if ended.value[0][0] == "refused":
        return "refused", ""
    return ("believed", ended.value[0][1]) if case.must else ("unharmed", "")


# by hand


def _by_hand(units: dict[str, Unit], folder: Path) -> Iterator[Hostile]:
    folder.mkdir(parents=True, exist_ok=True)
    elsewhere = folder / "secret"
    elsewhere.write_bytes(SECRET)
    views = (as_distilled, as_dataset, as_episodes)
    for number, (name, attack, must) in enumerate(attacks(elsewhere)):
        for sealed in (True, False):

            def write(
                there: Path, attack: Any = attack, sealed: bool = sealed, old: bool = number % 3 == 0
            ) -> Path:
                path = there / "h.h5"
                try:
                    write_hostile(path, attack, sealed=sealed, old=old)
                except (RuntimeError, ValueError, OSError):
                    path.unlink(missing_ok=True)
                    write_hostile(path, attack, sealed=sealed)  # what HDF5's first format cannot hold
                return path

            yield Hostile(
                "HDF5", f"{name}, {'sealed' if sealed else 'without a seal'}", write, views, must and sealed
            )
    yield from _students(units["student"])
    if "expert" in units:
        yield from _experts(units["expert"])
    yield from _documents(units)
    yield from _archived(units["results.npz"])
    yield from _states(units)
    for name, write, use in provenances(units):
        yield Hostile("provenance", name, write, (use,), False)


def _student_cases(path: Path) -> Iterator[tuple[str, dict[str, torch.Tensor], Any, bool]]:
    weights, said = load_tensors(path)
    about = json.loads(said["student"])
    first = sorted(weights)[0]
    yield "no tensors", {}, about, True
    yield "one tensor too few", {k: v for k, v in weights.items() if k != first}, about, True
    yield "one tensor too many", {**weights, "extra": torch.zeros(3)}, about, True
    yield "a tensor of another shape", {**weights, first: torch.zeros(7)}, about, True
    yield "a tensor that is a number", {**weights, first: torch.tensor(1.0)}, about, True
    yield "a tensor of whole numbers", {**weights, first: weights[first].long()}, about, False
    yield "a tensor of NaN", {**weights, first: weights[first] * float("nan")}, about, True
    yield "a tensor of infinity", {**weights, first: weights[first] + float("inf")}, about, True
    yield "float64", {k: v.double() for k, v in weights.items()}, about, False
    wrong: list[Any] = [None, 3, -1, "", "x", [], {}, True, 1e300, ESCAPES, "9" * 5000, float("nan")]
    for key in about:
        for value in wrong:
            yield f"{key} {str(value)[:20]!a}", weights, {**about, key: value}, key in ("name", "learner")
        yield f"no {key}", weights, {k: v for k, v in about.items() if k != key}, True
    for value in wrong:
        yield f"an entry {str(value)[:20]!a}", weights, value, True
    learner = json.loads(about["learner"])
    for key, values in {
        "observation_shape": [
            None,
            3,
            [],
            [-1],
            [2**40],
            [2**24],
            ["x"],
            [[4]],
            [4, 4],
            [10**30],
            "4",
            [3, 64, 64],
        ],
        "action_size": [None, -1, 0, 2**26, 2**40, "x", [2], 1.5, 3],
        "config": [None, [], {}, {"type": "dqn"}, {"type": "dqn", "params": {}}, {"type": ESCAPES, "params": {}}],
    }.items():
        for value in values:
            yield (
                f"{key} {str(value)[:30]!a}",
                weights,
                {**about, "learner": json.dumps({**learner, key: value})},
                True,
            )
    for where, old in list(_leaves(learner["config"]))[:24]:
        for value in ("x", None, -1, [], 2**31):
            if value != old:
                changed = json.loads(json.dumps(learner))
                _put(changed["config"], where, value)
                yield f"config {where} {value!r}", weights, {**about, "learner": json.dumps(changed)}, False


def _students(unit: Unit) -> Iterator[Hostile]:
    good = unit.folder / unit.files[0]
    for name, weights, about, must in _student_cases(good):

        def write(there: Path, weights: Any = weights, about: Any = about) -> Path:
            save_tensors(there / "s.safetensors", weights, {"student": json.dumps(about)})
            return there / "s.safetensors"

        yield Hostile("students", name, write, (as_student,), must)
    for name, data in _safetensors(good.read_bytes()):
        must = name != "the same tensor twice"  # whose bytes are the same
        yield Hostile("students", name, _writer("s.safetensors", data), (as_student,), must)


def _experts(unit: Unit) -> Iterator[Hostile]:
    good = (unit.folder / unit.files[0]).read_bytes()
    weights = safetensors.torch.load(good)
    first = sorted(weights)[0]
    cases = {
        "one tensor too few": {k: v for k, v in weights.items() if k != first},
        "one tensor too many": {**weights, "extra": torch.zeros(3)},
        "a tensor of NaN": {**weights, first: weights[first] * float("nan")},
        "a tensor of 5 axes": {**weights, "blocks.0.conv.weight": torch.zeros(1, 1, 1, 1, 1)},
        "nothing": {},
    }
    for name, tensors in cases.items():
        yield Hostile("experts", name, _writer("e.safetensors", safetensors.torch.save(tensors)), (_expert,), True)
    for name, data in _safetensors(good):
        must = name != "the same tensor twice"  # whose bytes are the same
        yield Hostile("experts", name, _writer("e.safetensors", data), (_expert,), must)
    for name, card in {"a list": [], "sha256 of another": {"sha256": "0"}, "sha256 a list": {"sha256": []},
                       "deep": DEEP, "game a list": {"game": [1]}, "not JSON": "{"}.items():  # fmt: skip

        def write(there: Path, card: Any = card) -> Path:
            (there / "e.safetensors").write_bytes(good)
            (there / "e.json").write_text(card if isinstance(card, str) else json.dumps(card))
            return there / "e.safetensors"

        yield Hostile("experts", f"a card: {name}", write, (_expert,), name != "game a list")


def _expert(path: Path) -> object:
    return LOADERS["expert"](path)


def _safetensors(good: bytes) -> Iterator[tuple[str, bytes]]:
    length = int.from_bytes(good[:8], "little")
    header, data = json.loads(good[8 : 8 + length]), good[8 + length :]
    for size in (0, 1, 2**20, 2**31, 2**40, 2**63 - 1, 2**64 - 1, len(good)):
        yield f"a header of {size} bytes", struct.pack("<Q", size) + good[8:]

    def made(value: object) -> bytes:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        return struct.pack("<Q", len(text)) + text + data

    first = next(key for key in header if key != "__metadata__")
    begin, end = header[first]["data_offsets"]
    for name, entry in {
        "offsets that overlap": {"data_offsets": [begin + 4, end + 4]},
        "offsets beyond the file": {"data_offsets": [2**40, 2**40 + end - begin]},
        "offsets turned round": {"data_offsets": [end, begin]},
        "negative offsets": {"data_offsets": [-end, -begin]},
        "offsets that are text": {"data_offsets": ["0", "4"]},
        "a huge shape": {"shape": [2**40, 2**40]},
        "a shape that overflows": {"shape": [2**63, 2]},
        "a negative shape": {"shape": [-1]},
        "an unknown dtype": {"dtype": "X9"},
        "another dtype": {"dtype": "F64"},
        "a dtype that is a number": {"dtype": 3},
    }.items():
        yield name, made({**header, first: {**header[first], **entry}})
    yield "no entry", made({})
    yield "a list", made([])
    yield "deep", made(DEEP.encode())
    yield "metadata of numbers", made({**header, "__metadata__": {"student": 3}})
    yield "metadata that is a list", made({**header, "__metadata__": []})
    yield "no UTF-8", made(b"\xff\xfe{}")
    yield "the same tensor twice", made(json.dumps(header)[:-1].encode() + b"," + json.dumps(
        {first: header[first]})[1:].encode())  # fmt: skip
    yield "a pickle", pickle.dumps({"a": 1})
    yield "nothing", b""
    yield "seven bytes", good[:7]


def _documents(units: dict[str, Unit]) -> Iterator[Hostile]:
    """JSON of the right digest with something wrong at every place."""
    wrong: list[Any] = [None, "x", -1, 1e300, [], {}, True, 10**400, ESCAPES]
    kinds = {
        "results.json": (units["results.json"], (LOADERS["results"], _reported)),
        "sweep.json": (units["sweep.json"], (LOADERS["sweep"], _reported)),
        "returns": (units["returns"], (LOADERS["kept_returns"],)),
        "evaluation.json": (units["evaluation.json"], (LOADERS["record"],)),
    }
    for name, (unit, views) in kinds.items():
        file = unit.files[0]
        good = read_document(unit.folder / file)
        places = list(_leaves(good, inner=True))
        step = max(1, len(places) * len(wrong) // 90)
        for number in range(0, len(places) * len(wrong), step):
            (where, _), value = places[number // len(wrong)], wrong[number % len(wrong)]
            changed = json.loads(json.dumps(good))
            _put(changed, where, value)
            write = _document(unit, file, changed)
            yield Hostile("documents", f"{name} {where} {str(value)[:12]!a}", write, views, False)
        texts = {"nothing": "", "deep": DEEP, "a number": "3", "null": "null", "NaN": '{"a": NaN}', "a list": "[1]",
                 "huge numbers": '{"a": ' + "9" * 10**6 + "}", "no UTF-8": b"\xff\xfe\x00",
                 "a key twice": '{"a": 1, "a": 2}', "surrogates": '{"a": "\\ud800"}',
                 "not a document": "{}", "zeros": b"\0" * 1000}  # fmt: skip
        for what, text in texts.items():
            data = text if isinstance(text, bytes) else text.encode()
            write = _beside(unit, file, data)
            yield Hostile("documents", f"{name}: {what}", write, views, name != "returns" or what != "a key twice")


def _archived(unit: Unit) -> Iterator[Hostile]:
    """Raw returns with a right hash in their results."""
    views = (LOADERS["results"],)
    good = np.load(unit.folder / "results.npz")["returns"]

    def npy(array: Any, **options: Any) -> bytes:
        raw = io.BytesIO()
        np.save(raw, array, **options)
        return raw.getvalue()

    def zipped(entries: dict[str, bytes], **options: Any) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return out.getvalue()

    def head(length: int) -> bytes:
        """What stands before so many numbers."""
        shape = b"(%d,)" % length
        before = npy(np.zeros(1))[:128]
        return before.replace(b"(1,)", shape).replace(b" " * (len(shape) - 4) + b"\n", b"\n")

    def bomb(entry: str) -> bytes:
        """Beside the returns, 1.5 GB of zeros, in 7 MB."""
        out = io.BytesIO(zipped({} if entry == "returns.npy" else {"returns.npy": npy(good)}))
        archive = zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED, compresslevel=1)
        with archive, archive.open(entry, "w") as file:
            file.write(head(3 << 26))
            for _ in range(3 << 9):
                file.write(bytes(1 << 20))
        return out.getvalue()

    cases: dict[str, bytes | Callable[[], bytes]] = {
        "pickled": zipped({"returns.npy": npy(np.array([Ran("x")], object), allow_pickle=True)}),
        "a bomb": lambda: bomb("returns.npy"),
        "a bomb beside them": lambda: bomb("more.npy"),
        "of a terabyte": zipped({"returns.npy": head(2**37)}),
        "of an absolute name": zipped({"/etc/returns.npy": npy(good)}),
        "of another name": zipped({"x.npy": npy(good)}),
        "no npy": zipped({"returns.npy": b"x" * 100}),
        "a plain npy": npy(good),
        "a pickle": pickle.dumps([1]),
        "nothing": b"",
        "an empty zip": zipped({}),
        "too many": zipped({"returns.npy": npy(np.append(good, 1))}),
        "of two axes": zipped({"returns.npy": npy(good[:, None])}),
        "texts": zipped({"returns.npy": npy(good.astype("U9"))}),
        "complex": zipped({"returns.npy": npy(good.astype(complex))}),
        "NaN": zipped({"returns.npy": npy(good * np.nan)}),
        "times": zipped({"returns.npy": npy(good.astype("M8[s]"))}),
    }
    for name, data in cases.items():

        def write(there: Path, made: bytes | Callable[[], bytes] = data) -> Path:
            data = made if isinstance(made, bytes) else made()
            told = read_document(unit.folder / "results.json")
            told["returns_sha256"] = hashlib.sha256(data).hexdigest()
            (there / "results.npz").write_bytes(data)
            write_document(there / "results.json", told)
            return there / "results.json"

        yield Hostile("returns' archives", name, write, views, name not in ("a bomb beside them", "texts"))


class Ran:
    """A pickle of it writes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)


def _states(units: dict[str, Unit]) -> Iterator[Hostile]:
    """Checkpoints with code, or of anything else, and a right seal."""
    views = (LOADERS["state"],)
    values: dict[str, Any] = {
        "a list": [1], "a tensor": torch.zeros(3), "a number": 3, "None": None, "a text": "x",
        "keys that are numbers": {1: 2}, "sparse tensors": {"x": torch.eye(3).to_sparse()},
        "a stretched tensor": {"x": torch.zeros(1).expand(1 << 40)},
        "stretched tensors in lists": {"x": [{"y": (torch.zeros(1, 1).expand(1 << 20, 1 << 20),)}]},
    }  # fmt: skip
    for name, value in values.items():
        yield Hostile("checkpoints", name, _state(value), views, name != "keys that are numbers")
    yield Hostile("checkpoints", "2 GB in 2 MB", _packed_state, views, True)

    def legacy(there: Path) -> Path:
        data = io.BytesIO()
        torch.save({"x": torch.zeros(3)}, data, _use_new_zipfile_serialization=False)
        return _sealed(there / "c.pt", data.getvalue())

    yield Hostile("checkpoints", "torch's first format", legacy, views, False)
    for protocol in (2, 4):

        def write(there: Path, protocol: int = protocol) -> Path:
            data = io.BytesIO()
            torch.save({"state": Ran(str(there / CANARY))}, data, pickle_protocol=protocol)
            return _sealed(there / "c.pt", data.getvalue())

        yield Hostile("checkpoints", f"code, protocol {protocol}", write, views, True)

        def bare(there: Path, protocol: int = protocol) -> Path:
            return _sealed(there / "c.pt", pickle.dumps(Ran(str(there / CANARY)), protocol))

        yield Hostile("checkpoints", f"a bare pickle of code, protocol {protocol}", bare, views, True)
    bombs = {"strings": b"\x80\x02X\xff\xff\xff\x7f", "opcodes": b"\x80\x02" + b"(" * 10**6, "ends": b"\x80\x02K",
             "memo": b"\x80\x02j\xff\xff\xff\xff.", "deep": b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
             "lists": b"\x80\x02" + b"]q\x00" + b"(h\x00h\x00e" * 1000 + b".", "nothing": b"",
             "numbers": b"\x80\x02\x8b\xff\xff\xff\x7f", "persistent": b"\x80\x02)Q.",
             "build": b"\x80\x02})b."}  # fmt: skip
    for name, data in bombs.items():
        yield Hostile("checkpoints", f"a pickle of {name}", lambda there, data=data: _sealed(there / "c.pt", data),
                      views, True)  # fmt: skip
        yield Hostile("checkpoints", f"a zip of a pickle of {name}", _torch_zip(data), views, True)


def _torch_zip(data: bytes) -> Callable[[Path], Path]:
    def write(there: Path) -> Path:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/version", "3\n")
            archive.writestr("archive/data/0", bytes(64))
        return _sealed(there / "c.pt", out.getvalue())

    return write


def _state(value: object) -> Callable[[Path], Path]:
    def write(there: Path) -> Path:
        data = io.BytesIO()
        torch.save(value, data)
        return _sealed(there / "c.pt", data.getvalue())

    return write


def _packed_state(there: Path) -> Path:
    """A checkpoint whose tensor is deflated, which torch would inflate."""
    data, out = io.BytesIO(), io.BytesIO()
    torch.save({"x": torch.zeros(1 << 28).expand(1, -1)}, data)
    with (
        zipfile.ZipFile(data) as stored,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
    ):
        for entry in stored.infolist():
            with stored.open(entry) as source, packed.open(entry.filename, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
    return _sealed(there / "c.pt", out.getvalue())


def _sealed(path: Path, data: bytes) -> Path:
    path.write_bytes(bytes(SEAL_BYTES) + data)
    write_seal(path)
    return path


def _writer(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(there: Path) -> Path:
        (there / name).write_bytes(data)
        return there / name

    return write


def _beside(unit: Unit, file: str, data: bytes) -> Callable[[Path], Path]:
    def write(there: Path) -> Path:
        for other in unit.folder.iterdir():
            if other.is_file():
                shutil.copy(other, there)
        (there / file).parent.mkdir(parents=True, exist_ok=True)
        (there / file).write_bytes(data)
        return there / file

    return write


def _document(unit: Unit, file: str, value: Any) -> Callable[[Path], Path]:
    def write(there: Path) -> Path:
        _beside(unit, file, b"")(there)
        (there / file).unlink()
        if isinstance(value, dict):
            write_document(there / file, value)
        else:
            (there / file).write_text(json.dumps(value))
        return there / file

    return write


# good files damaged, with a right seal or digest on top: what the libraries below make of it


def _resealed(units: dict[str, Unit], seed: int, count: int) -> Iterator[Hostile]:
    kinds = {"dataset": (as_dataset, as_episodes), "distilled, soft labels": (as_distilled,),
             "PPO checkpoint, gymnasium": (LOADERS["state"],), "d3rlpy's own dump": (as_dataset,),
             "distilled by version 0.1": (as_distilled,)}  # fmt: skip
    chosen = [(units[name], views) for name, views in kinds.items() if name in units]
    for number in range(count):
        unit, views = chosen[number % len(chosen)]

        def write(there: Path, unit: Unit = unit, number: int = number) -> Path:
            rng = np.random.default_rng([seed, 4, number])
            data = (unit.folder / unit.files[0]).read_bytes()
            data = data[SEAL_BYTES:] if data.startswith(b"d3rlpy-distill seal") else data
            data = DAMAGES[rng.integers(len(DAMAGES))](data, rng)
            for _ in range(int(rng.integers(1 + len(data) // 8192))):  # most of a large file is pixels
                data = flip(data, rng) if rng.random() < 0.5 else zeroed(data, rng)
            return _sealed(there / ("r.pt" if "checkpoint" in unit.name else "r.h5"), data)

        yield Hostile(f"resealed: {unit.name}", f"{seed}/{number}", write, views, False)


def archives(seed: int, count: int) -> tuple[int, int]:
    """Reads the archives of tests/hostile_archives.py; returns how many were refused, and read as they should be."""
    outcome = hostile_archives.run(seed, count)
    return outcome.refused, outcome.read


def _leaves(
    value: Any, where: tuple[Any, ...] = (), *, inner: bool = False
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every place in nested JSON, and what is there."""
    if isinstance(value, dict | list):
        if inner and where:
            yield where, value
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, (*where, key), inner=inner)
    else:
        yield where, value


def _put(value: Any, where: Sequence[Any], new: Any) -> None:
    for key in where[:-1]:
        value = value[key]
    value[where[-1]] = new
