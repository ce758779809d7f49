"""Hostile HDF5 files: a good distilled set with one thing wrong, with a right seal on top of it or without any."""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from d3rlpy_distill.data import Provenance
from d3rlpy_distill.files import SEAL_BYTES, write_seal

__all__ = ["attacks", "write_hostile"]

Attack = Callable[[h5py.File], None]
N, A = 3, 2  # episodes of one step, actions
ESCAPES = "\x1b]0;owned\x07\x1b[2J\r\n\x00\u202e"
DEEP = "[" * 100_000 + "]" * 100_000


def write_hostile(path: Path, attack: Attack, *, sealed: bool, old: bool = False) -> None:
    """Writes a distilled set, attacks it, and seals it.

    Args:
        path: The file.
        attack: What to change.
        sealed: Whether it gets a right seal; else it is a plain file of d3rlpy's, which has none.
        old: Write HDF5's first format, whose structures carry no checksums of their own.
    """
    version = ("earliest", "v108") if old else ("v110", "v110")
    with h5py.File(path, "w", libver=version, userblock_size=SEAL_BYTES) as file:
        _good(file)
        if not sealed:
            file.attrs.clear()
        attack(file)
    if sealed:
        write_seal(path)


def _good(file: h5py.File) -> None:
    rng = np.random.default_rng(0)
    for i in range(N):
        file[f"observations_{i}"] = rng.normal(size=(1, 4)).astype(np.float32)
        file[f"actions_{i}"] = np.array([[i % A]], np.int32)
        file[f"rewards_{i}"] = np.ones((1, 1), np.float32)
        file[f"terminated_{i}"] = True
    file["steps/action_probabilities"] = np.full((N, A), 1 / A, np.float32)
    file["initial/transition"] = np.arange(N)
    file["episodes/length"] = np.ones(N, np.int64)
    file["columns"] = ["observations", "actions", "rewards", "terminated"]
    file["num_episodes"] = N
    file["version"] = "2.1"
    settings = {"source": "x.h5", "source_sha256": "0" * 64, "config": {}, "seed": 0, "steps": 1}
    file.attrs.update(Provenance("distilled", "gym/CartPole-v1", A, "x", settings, {}).to_attributes())
    numbers = {"num_transitions": N, "return_mean": 1.0, "return_std": 0.0, "return_min": 1.0, "return_max": 1.0}
    file.attrs.update({**numbers, "format": "d3rlpy-distill 3", "content_sha256": "0" * 64})
    file.attrs["action_histogram"] = np.array([2, 1])


def replaced(name: str, value: Any, **options: Any) -> Attack:
    """A member of other content."""

    def attack(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file.create_dataset(name, data=value, **options)

    return attack


def declared(name: str, shape: tuple[int, ...], dtype: Any, **options: Any) -> Attack:
    """A member that declares a shape and holds nothing."""

    def attack(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file.create_dataset(name, shape, dtype, **options)

    return attack


def linked(name: str, link: Any) -> Attack:
    def attack(file: h5py.File) -> None:
        del file[name]
        file[name] = file[link] if isinstance(link, str) else link

    return attack


def told(key: str, value: Any) -> Attack:
    """A root attribute of other content."""

    def attack(file: h5py.File) -> None:
        file.attrs.pop(key, None)
        if value is not None:
            file.attrs[key] = value

    return attack


def gone(name: str) -> Attack:
    def attack(file: h5py.File) -> None:
        del file[name]

    return attack


def packed(name: str, shape: tuple[int, ...], dtype: Any, chunk: tuple[int, ...], size: int) -> Attack:
    """A chunk that inflates to ``size`` bytes."""

    def attack(file: h5py.File) -> None:
        del file[name]
        one = file.create_dataset(name, shape, dtype, chunks=chunk, compression="gzip")
        one.id.write_direct_chunk((0,) * len(shape), zeros(size))

    return attack


def _bomb_among(shape: tuple[int, ...], chunk: tuple[int, ...], size: int) -> Attack:
    """Chunks of which one inflates to ``size`` bytes."""

    def attack(file: h5py.File) -> None:
        del file["observations_0"]
        one = file.create_dataset("observations_0", shape, "u2", chunks=chunk, compression="gzip")
        one[()] = np.random.default_rng(0).integers(256, size=shape)
        one.id.write_direct_chunk((0,) * len(shape), zeros(size))

    return attack


@functools.cache
def zeros(size: int) -> bytes:
    """So many zeros, deflated."""
    deflated = zlib.compressobj(1)
    pieces = [deflated.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*pieces, deflated.flush()])


def attacks(elsewhere: Path) -> Iterator[tuple[str, Attack, bool]]:
    """Yields ``(name, attack, whether it must be refused)``.

    Args:
        elsewhere: A file of somebody else's, 4 KiB or longer, whose content must not come up.
    """
    members = ("observations_0", "actions_1", "rewards_0", "terminated_2", "steps/action_probabilities",
               "initial/transition", "num_episodes", "columns", "version")  # fmt: skip
    shapes = {"observations_0": ((1, 4), "f4"), "actions_1": ((1, 1), "i4"), "rewards_0": ((1, 1), "f4"),
              "steps/action_probabilities": ((N, A), "f4"), "initial/transition": ((N,), "i8")}  # fmt: skip
    for name in members:
        yield f"{name} is an external link", linked(name, h5py.ExternalLink(str(elsewhere), "x")), True
        yield f"{name} is a soft link to another", linked(name, h5py.SoftLink("/rewards_1")), True
        yield f"{name} is a soft link to nothing", linked(name, h5py.SoftLink("/nowhere")), True
        yield f"{name} is a soft link to itself", linked(name, h5py.SoftLink(f"/{name}")), True
        yield f"{name} is a group", _group(name), True
        yield f"{name} is a named type", linked(name, np.dtype("f4")), True
        if name not in ("steps/action_probabilities", "initial/transition"):
            yield f"{name} is missing", gone(name), True
        yield f"{name} is a compound", replaced(name, np.zeros(1, [("a", "f4"), ("b", "i4")])), True
        yield f"{name} is a reference", _reference(name), True
        yield f"{name} is empty", replaced(name, h5py.Empty("f4")), True
        yield f"{name} is of texts", replaced(name, ["x"] * N), True
    for name, (shape, kind) in shapes.items():
        away = [(str(elsewhere), 0, h5py.h5f.UNLIMITED)]
        yield f"{name} lies in another file", declared(name, shape, kind, external=away), True
        yield f"{name} is virtual, its source missing", _virtual(name, shape, kind, "missing.h5"), True
        yield f"{name} is virtual, its source this file", _virtual(name, shape, kind, "."), True
        yield f"{name} is of vectors of any length", declared(name, shape, h5py.vlen_dtype("f4")), True
        yield f"{name} declares a terabyte", declared(name, (2**38, *shape[1:]), kind), True
        yield f"{name} declares a terabyte in chunks", declared(
            name, (2**38, *shape[1:]), kind, chunks=(1024, *shape[1:])), True  # fmt: skip
        yield f"{name} declares an exabyte, packed", declared(
            name, (2**58, *shape[1:]), kind, chunks=(1 << 16, *shape[1:]), compression="gzip"), True  # fmt: skip
        yield f"{name} was never written", declared(name, shape, kind), True
        yield (
            f"{name} has chunks beyond measure",
            packed(name, (2**27, *shape[1:]), kind, (2**27, *shape[1:]), 1 << 20),
            True,
        )
        yield f"{name} inflates to 1 GB", packed(name, shape, kind, shape, 1 << 30), True
        yield f"{name} is NaN", replaced(name, np.full(shape, np.nan)), True
        yield f"{name} is infinite", replaced(name, np.full(shape, np.inf)), True
        yield f"{name} is complex", replaced(name, np.zeros(shape, np.complex64)), True
        yield f"{name} has no rows", replaced(name, np.zeros((0, *shape[1:]), kind)), True
        yield f"{name} is a number", replaced(name, np.array(1, kind)), True
        yield f"{name} has four axes", replaced(name, np.zeros((1, 1, 1, 1), kind)), name != "observations_0"
        yield f"{name} is packed twice", _filtered(name, shape, kind, (1, 1)), True
        yield f"{name} is packed by an unknown filter", _filtered(name, shape, kind, (32015,)), True
        yield f"{name} has scale offsets", replaced(name, np.ones(shape, kind), scaleoffset=2), True
        yield f"{name} is of big-endian float64", replaced(name, np.ones(shape, ">f8")), False
        yield f"{name} is of uint64", replaced(name, np.full(shape, 2**63 + 1, np.uint64)), name not in (
            "observations_0", "rewards_0")  # fmt: skip
        yield f"{name} is of float16", replaced(name, np.ones(shape, np.float16)), False
        yield f"{name} is of long doubles", replaced(name, np.ones(shape, np.longdouble)), False
    yield from _frames()
    yield from _numbers()
    yield from _labels()
    yield from _structures()
    yield from _attributes()


def _frames() -> Iterator[tuple[str, Attack, bool]]:
    shape = (4, 3, 64, 64)
    for size in (1 << 30, 1 << 20):
        yield f"frames that inflate to {size} bytes", packed("observations_0", shape, "u1", shape, size), True
    yield "frames that inflate to more than they are", packed("observations_0", shape, "u1", shape, 3 << 20), True
    yield "one chunk of many inflates to 1 GB", _bomb_among((64, 3, 64, 64), (1, 3, 64, 64), 1 << 30), True
    yield "lzf", replaced("observations_0", np.zeros((1, 4), np.float32), chunks=(1, 4), compression="lzf"), False
    yield (
        "lzf of 1 GB",
        replaced("observations_0", np.zeros((1 << 12, 1 << 18), np.uint8), compression="lzf"),
        True,
    )
    yield "frames of 64 GB in one chunk", packed("observations_0", (1, 3, 65536, 65536), "u1", (1, 1, 1024, 1024),
                                                  1 << 20), True  # fmt: skip


def _numbers() -> Iterator[tuple[str, Attack, bool]]:
    for value in (-1, 0, np.nan, np.inf, 2**62, 1e300, 2.5, N + 1, np.array([N]), np.array([[1, 2]]), b"3"):
        yield f"num_episodes {value!r}", replaced("num_episodes", value), value not in (2.5,) if np.ndim(
            value) == 0 else True  # fmt: skip
    for version in ("2.0", "", 2.1, 21, np.array(["2.1", "2.1"], object), b"2.1", "2.1" * 10**6, ESCAPES[:-3]):
        yield f"version {str(version)[:20]!a}", replaced("version", version), version != b"2.1" if isinstance(
            version, bytes) else True  # fmt: skip
    for columns in (["observations"], ["a"] * 10**5, "observations", [1, 2], np.array(1), ["\x1b[2J"] * 4):
        yield f"columns {str(columns)[:30]!a}", replaced("columns", columns), True
    actions = {"-1": -1, "A": A, "2**31 - 1": 2**31 - 1, "-2**31": -(2**31)}
    for name, value in actions.items():
        yield f"an action of {name}", replaced("actions_1", np.array([[value]], np.int32)), True
    yield "actions that are bools", replaced("actions_1", np.array([[True]])), True
    yield "actions of 2**63", replaced("actions_1", np.array([[2**63]], np.uint64)), True
    yield "actions of two columns", replaced("actions_1", np.zeros((1, 2), np.int32)), True
    yield "continuous actions among discrete ones", replaced("actions_1", np.zeros((1, A), np.float32)), True
    yield "observations of another length", replaced("observations_1", np.zeros((1, 5), np.float32)), True
    yield "observations of another type", replaced("observations_1", np.zeros((1, 4), np.uint8)), False
    yield "terminated that is an array", replaced("terminated_0", [True, False]), True
    yield "terminated that is NaN", replaced("terminated_0", np.nan), False
    yield "rewards of 1e300", replaced("rewards_0", np.array([[1e300]])), False


def _labels() -> Iterator[tuple[str, Attack, bool]]:
    good = np.full((N, A), 0.5, np.float32)
    rows = {
        "NaN": np.array([[np.nan, 1]] * N), "infinite": np.array([[np.inf, 0]] * N),
        "negative": np.array([[-1, 2]] * N),
        "of sum 2": 2 * good, "of sum 0": 0 * good, "of sum 0.9": 0.9 * good, "one row too few": good[1:],
        "one row too many": np.vstack([good, good[:1]]), "too wide": np.full((N, A + 1), 1 / (A + 1)),
        "too narrow": np.ones((N, 1)), "flat": good.ravel(), "of three axes": good[None], "of bytes": good.astype("u1"),
        "of whole numbers": np.eye(A, dtype=int)[[0, 1, 0]], "1e38": np.full((N, A), 3e38, np.float32),
    }  # fmt: skip
    for name, value in rows.items():
        yield f"soft labels {name}", replaced("steps/action_probabilities", value), True
    for name, value in {"-1": [-1, 0, 1], "2**62": [2**62, 0, 1], "two columns": [[1, 2]] * N,
                        "too few": [1], "floats": [0.5] * N}.items():  # fmt: skip
        yield f"sources {name}", replaced("initial/transition", np.array(value)), name != "2**62"
    yield "initial frames of another shape", replaced("initial/observations", np.zeros((N, 5))), True
    yield "initial actions without frames", replaced("initial/actions", np.full(N, 99)), False
    initial: dict[str, dict[str, Any]] = {
        "frames that are NaN": {"observations": np.full((N, 4), np.nan, np.float32)},
        "frames of big-endian numbers": {"observations": np.ones((N, 4), ">f8")},
        "actions beyond the actions": {"actions": np.full(N, 99)},
        "actions below 0": {"actions": np.full(N, -1)},
        "actions that are floats": {"actions": np.full((N, A), 0.5, np.float32)},
        "too few actions": {"actions": np.zeros(N - 1, int)},
        "rewards of two columns": {"rewards": np.zeros((N, 2))},
        "infinite rewards": {"rewards": np.full(N, np.inf)},
    }
    for name, values in initial.items():

        def attack(file: h5py.File, values: dict[str, Any] = values) -> None:
            file["initial/observations"] = values.get("observations", np.zeros((N, 4), np.float32))
            for key, value in values.items():
                if key != "observations":
                    file[f"initial/{key}"] = value

        yield f"initial {name}", attack, name != "frames of big-endian numbers"
    yield from _teachers()


def _teachers() -> Iterator[tuple[str, Attack, bool]]:
    names = ("0._fc.weight", "x.weight", "0", "..", "-1.w", "9" * 5000 + ".w", "0." + "a" * 60000)
    for name in names:
        yield f"a teacher named {name[:20]!r}", replaced(f"teachers/{name}", np.zeros((2, 2), np.float32)), True
    for kind in (">f4", np.longdouble, np.uint16, np.complex64):
        yield f"a teacher of {np.dtype(kind)}", replaced("teachers/0.w", np.ones((2, 2), kind)), True
    told = {"no JSON": b"x", "empty": b"", "a list": b"[]", "deep": DEEP.encode(), "no UTF-8": b"\xff\xfe",
            "no type": b"{}", "an unknown type": b'{"type": "nobody", "params": {}}', "null": b"null",
            "another algorithm": b'{"type": "dqn", "params": {}}', "a huge number": b"9" * 5000}  # fmt: skip
    for name, text in told.items():

        def attack(file: h5py.File, text: bytes = text) -> None:
            file["teachers/0._fc.weight"] = np.zeros((2, 2), np.float32)
            file["teaching/learner"] = np.frombuffer(text, np.uint8)

        yield f"teachers of {name}", attack, True


def _structures() -> Iterator[tuple[str, Attack, bool]]:
    def loops(file: h5py.File) -> None:
        file["steps/loop"] = file["steps"]
        file["loop"] = file["/"]
        file["initial/loop"] = file["/"]

    def many(file: h5py.File) -> None:
        for i in range(3000):
            file.attrs[f"a{i}"] = i

    def members(file: h5py.File) -> None:
        for i in range(20000):
            file[f"x{i}"] = h5py.SoftLink("/x")

    def deep(file: h5py.File) -> None:
        group = file
        for _ in range(500):
            group = group.create_group("g")

    def giant(file: h5py.File) -> None:
        file.attrs.create("giant", np.zeros(8 << 20, np.uint8))

    def shared(file: h5py.File) -> None:
        for name in ("observations_1", "observations_2"):
            del file[name]
            file[name] = file["observations_0"]

    def names(file: h5py.File) -> None:
        file["episodes/" + ESCAPES.replace("\x00", "")] = np.ones(N)
        file["steps/" + "\x1b[2J"] = np.ones((N, 2))

    yield "groups that hold themselves", loops, True
    yield "3,000 attributes", many, False
    yield "20,000 links", members, False
    yield "groups 500 deep", deep, False
    yield "an attribute of 8 MiB", giant, False
    yield "one dataset under three names", shared, False
    yield "names that control terminals", names, False
    yield "no root attributes", lambda file: file.attrs.clear(), False
    yield "steps is a dataset", replaced("steps", np.zeros(3)), True
    yield "initial is a dataset", replaced("initial", np.zeros(3)), True
    yield "teachers is a dataset", replaced("teachers", np.zeros(3)), True
    yield "initial is an external link", _external_group("initial"), True
    yield "a number of each episode too few", replaced("episodes/length", np.ones(1)), False
    yield "numbers of episodes of two columns", replaced("episodes/length", np.ones((N, 2))), False
    yield "a file that says it is its own source", told("settings", json.dumps({"source_sha256": {}})), False


def _attributes() -> Iterator[tuple[str, Attack, bool]]:
    texts = ("kind", "task", "command", "settings", "packages", "content_sha256", "format")
    values: dict[str, Any] = {
        "missing": None, "empty": h5py.Empty("f4"), "a number": 3, "an array": np.zeros(5), "escapes": ESCAPES[:-2],
        "deep JSON": DEEP, "a JSON list": "[]", "null": "null", "NaN": "NaN", "bytes": np.bytes_(b"\xff\xfe"),
        "a huge number": "9" * 5000,
    }  # fmt: skip
    for key in texts:
        for name, value in values.items():
            value = value[:60000] if isinstance(value, str) else value  # what one attribute may hold
            yield f"attribute {key} {name}", told(key, value), key == "settings" and name in (
                "missing", "empty", "an array", "deep JSON", "escapes")  # fmt: skip
    for key in ("action_size", "num_transitions", "return_mean", "action_histogram"):
        for value in (None, -1, 0, 2**40, np.nan, np.inf, "abc", np.zeros(5), h5py.Empty("f4"), 2**63 + 1):
            must = key == "action_size" and value is not None and not np.ndim(value) and value in (-1, 0)
            yield f"attribute {key} {value!r}", told(key, value), bool(must)
    yield "attribute action_size of text vectors", told("action_size", ["a", "b"]), True


def _group(name: str) -> Attack:
    def attack(file: h5py.File) -> None:
        del file[name]
        file.create_group(name)

    return attack


def _reference(name: str) -> Attack:
    def attack(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=file["rewards_1"].ref, dtype=h5py.ref_dtype)

    return attack


def _virtual(name: str, shape: tuple[int, ...], kind: str, source: str) -> Attack:
    def attack(file: h5py.File) -> None:
        del file[name]
        layout = h5py.VirtualLayout(shape, kind)
        layout[...] = h5py.VirtualSource(source, "rewards_1", shape)
        file.create_virtual_dataset(name, layout, fillvalue=1)

    return attack


def _filtered(name: str, shape: tuple[int, ...], kind: str, filters: tuple[int, ...]) -> Attack:
    def attack(file: h5py.File) -> None:
        del file[name]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk(shape)
        for one in filters:
            properties.set_filter(one, h5py.h5z.FLAG_OPTIONAL, (6,))
        space = h5py.h5s.create_simple(shape)
        made = h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(np.dtype(kind)), space, properties)
        data = np.ones(shape, kind).tobytes()
        for one in filters:
            data = zlib.compress(data) if one == 1 else data
        made.write_direct_chunk((0,) * len(shape), data)

    return attack


def _external_group(name: str) -> Attack:
    return linked(name, h5py.ExternalLink("other.h5", "/"))
