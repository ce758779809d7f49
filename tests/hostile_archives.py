"""Hostile gen_dgrl archives, made here: by hand, one for each way in that is known, and by a seeded generator.

``python tests/hostile_archives.py --seed 1 --count 2000`` reads them all within a limit on memory and prints what came
of it; it exits with 1 at the first archive that is neither refused in one line nor read as Python's own unpickler
reads it.
"""

from __future__ import annotations

import argparse
import bz2
import dataclasses
import gzip
import io
import json
import lzma
import pickle
import pickletools
import re
import resource
import struct
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from d3rlpy_distill.errors import DatasetFormatError
from procgen_datasets.games import get_game
from procgen_datasets.gen_dgrl import import_gen_dgrl, read_gen_dgrl

SECONDS = 10.0  # that one archive may take on a slow, busy machine; the slowest is reported
ADDRESS_SPACE = 512 * 2**20  # bytes that all of them together may take besides what is held before the first
NAME = "20221019T1234_0_1_17_0.50.npy"
EPISODE = {
    "observations": np.zeros((1, 3, 64, 64), np.uint8),
    "actions": np.array([[7]]),
    "rewards": np.array([[0.5]]),
    "dones": np.array([True]),
}
NUMPY_OPCODES = set(b"\x80\x95(N\x88\x89KMJ\x8aG\x8cXCB\x96)\x85\x86\x87t]ae}suc\x93Rbqr\x94hj.")


@dataclasses.dataclass(frozen=True)
class Case:
    """An archive.

    Args:
        name: What it tries.
        archive: Its bytes.
        pickle: The pickle in it, where a flipped byte may have left a valid one; else the archive must be refused.
        written: Whether to import it, rather than only to read it: its first episode may be a good one.
    """

    name: str
    archive: bytes
    pickle: bytes | None = None
    written: bool = False


def campaign(seed: int, count: int) -> Iterator[Case]:
    """Yields every hand-made archive, then ``count`` that are mutated at random."""
    for name, pickled in pickles():
        yield Case(f"pickle: {name}", archive_of(npy(pickled)))
    for name, data in npys():
        yield Case(f"npy: {name}", archive_of(data))
    for name, data in tars():
        yield Case(f"tar: {name}", data, written=True)
    yield from mutations(seed, count)


# what is valid


def valid_pickle(protocol: int, episode: dict[str, Any] | None = None) -> bytes:
    return pickle.dumps(np.array(episode or EPISODE, dtype=object), protocol=protocol)


def npy(pickled: bytes, text: str = "{'descr': '|O', 'fortran_order': False, 'shape': (), }") -> bytes:
    line = text.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + pickled


def member(data: bytes, name: str = NAME, **fields: Any) -> bytes:
    """A header and its data, as GNU tar writes them; ``fields`` are TarInfo's."""
    info = tarfile.TarInfo(f"coinrun/{name}")
    info.size = len(data)
    form = fields.pop("form", tarfile.GNU_FORMAT)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(form, "utf-8", "surrogateescape") + data + bytes(-len(data) % 512)


def xz(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_XZ, preset=0)


def bomb(data: bytes) -> bytes:
    """``data`` and 128 MiB of zeros, in 20 KB."""
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, preset=0)
    pieces = [compressor.compress(data), *(compressor.compress(bytes(2**20)) for _ in range(128))]
    return b"".join(pieces) + compressor.flush()


def tar(*members: bytes) -> bytes:
    return xz(b"".join(members) + bytes(1024))


def archive_of(data: bytes, name: str = NAME) -> bytes:
    return tar(member(data, name))


# pickles, by hand: the episode that can be read, with one more key whose value is the attack


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return b"\x8c" + bytes([len(data)]) + data if len(data) < 256 else b"X" + struct.pack("<I", len(data)) + data


def raw(data: bytes) -> bytes:
    return b"C" + bytes([len(data)]) + data if len(data) < 256 else b"B" + struct.pack("<I", len(data)) + data


def integer(value: int) -> bytes:
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def tuple_of(*values: bytes) -> bytes:
    return b"(" + b"".join(values) + b"t"


RECONSTRUCT = named("numpy.core.multiarray", "_reconstruct")
FROM_BUFFER = named("numpy.core.numeric", "_frombuffer")
SCALAR = named("numpy.core.multiarray", "scalar")
NDARRAY = named("numpy", "ndarray")
DTYPE = named("numpy", "dtype")
ENCODE = named("_codecs", "encode")
NONE, TRUE, FALSE, ZERO, ONE, EMPTY = b"N", b"\x88", b"\x89", b"K\x00", b"K\x01", b")"


def dtype(code: str = "u1", order: bytes | None = None, rest: bytes | None = None, version: int = 3) -> bytes:
    made = DTYPE + tuple_of(text(code), FALSE, TRUE) + b"R"
    order = text("|" if code.endswith("1") else "<") if order is None else order
    rest = NONE * 3 + integer(-1) * 2 + ZERO if rest is None else rest
    return made + b"(" + integer(version) + order + rest + b"tb"


def begun(kind: bytes = NDARRAY, shape: bytes = ZERO + b"\x85", code: bytes = raw(b"b")) -> bytes:
    return RECONSTRUCT + tuple_of(kind, shape, code) + b"R"


def array(
    shape: tuple[int, ...] | bytes = (4,),
    kind: bytes | None = None,
    data: bytes | None = None,
    *,
    version: bytes = ONE,
    fortran: bytes = FALSE,
    more: bytes = b"",
) -> bytes:
    axes = shape if isinstance(shape, bytes) else tuple_of(*map(integer, shape))
    state = version + axes + (dtype() if kind is None else kind) + fortran + (data or raw(bytes(4))) + more
    return begun() + b"(" + state + b"tb"


def with_extra(value: bytes, key: bytes = text("x")) -> bytes:
    """A pickle of the episode with one more item, protocol 4 without frames."""
    items = b"".join(
        text(name) + array(values.shape, dtype(values.dtype.str[1:]), raw(values.tobytes()))
        for name, values in EPISODE.items()
    )
    objects = dtype("O8", text("|"), NONE * 3 + integer(-1) * 2 + b"K\x3f")
    state = ONE + EMPTY + objects + FALSE + b"]}(" + items + key + value + b"ua"
    return b"\x80\x04" + begun() + b"(" + state + b"tb."


CALLABLES = [
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("builtins", "eval"), ("builtins", "exec"),
    ("builtins", "open"), ("builtins", "getattr"), ("builtins", "bytearray"), ("builtins", "bytes"),
    ("__builtin__", "eval"), ("__builtin__", "bytes "), ("subprocess", "Popen"), ("importlib", "import_module"),
    ("pickle", "loads"), ("_pickle", "loads"), ("copyreg", "_reconstructor"), ("functools", "partial"),
    ("operator", "attrgetter"), ("ctypes", "string_at"), ("_codecs", "decode"), ("codecs", "encode"),
    ("_codecs", "lookup"), ("numpy", "load"), ("numpy", "memmap"), ("numpy", "fromfile"), ("numpy", "zeros"),
    ("numpy", "frombuffer"), ("numpy", "recarray"), ("numpy", "matrix"), ("numpy", "dtype.type"),
    ("numpy", "ndarray.tofile"), ("numpy.core.multiarray", "fromfile"), ("numpy.core.multiarray", "zeros"),
    ("numpy.core._internal", "_ctypes"), ("numpy.core.numeric", "fromfile"), ("numpy.f2py", "compile"),
    ("numpy.core.multiarray", "_reconstruct.__call__"), ("numpy.ma.core", "_mareconstruct"), ("", ""),
    ("numpy\x1b[2J", "dtype"), ("\u202enumpy", "\x07"), ("procgen_datasets.gen_dgrl", "import_gen_dgrl"),
]  # fmt: skip


def pickles() -> Iterator[tuple[str, bytes]]:
    """Yields pickles that must be refused, each with its name."""
    bad: dict[str, bytes] = {}
    for module, name in CALLABLES:
        called = tuple_of(text("true")) + b"R"
        bad[f"{module!a}.{name!a}, named"] = named(module, name)
        bad[f"{module!a}.{name!a}, called"] = named(module, name) + called
        bad[f"{module!a}.{name!a}, by GLOBAL"] = b"c" + f"{module}\n{name}\n".encode() + called
    bad["GLOBAL without an end"] = b"c" + b"a" * 5000
    bad["GLOBAL that is no UTF-8"] = b"c\xff\xfe\nx\n"
    bad["STACK_GLOBAL of numbers"] = ONE + ONE + b"\x93"
    bad["STACK_GLOBAL of a text of 100 kB"] = text("a" * 10**5) + text("b") + b"\x93"
    for opcode in pickletools.opcodes:
        code = opcode.code.encode("latin-1")
        if ord(code) not in NUMPY_OPCODES:
            for what, before in (("", b""), (" on a value", DTYPE + EMPTY), (" at a mark", b"(" + DTYPE + EMPTY)):
                bad[f"{opcode.name}{what}"] = before + code + b"1\n1\n" + bytes(8)
    bad["an opcode that there is not"] = b"\xff"
    bad["LONG4 of 2 GiB"] = b"\x8b" + struct.pack("<i", 2**31 - 1)
    bad["LONG4 of -1"] = b"\x8b" + struct.pack("<i", -1)
    bad["LONG1 of 255 bytes"] = b"\x8a\xff" + bytes(255)
    for code, size in (("X", "<I"), ("B", "<I"), ("\x96", "<Q"), ("\x95", "<Q"), ("\x8d", "<Q"), ("\x8e", "<Q")):
        for length in (2**20, 2**31, 2 ** (32 if size == "<I" else 64) - 1):
            bad[f"{code!a} of {length} bytes"] = code.encode("latin-1") + struct.pack(size, length)

    bad |= dict(_dtypes()) | dict(_arrays()) | dict(_encodings()) | dict(_memos()) | dict(_floods())
    for name, value in bad.items():
        yield name, with_extra(value)
    yield from _structures()
    for protocol in range(2, 6):
        whole = valid_pickle(protocol)
        for _, argument, position in pickletools.genops(whole):
            yield f"protocol {protocol}, cut at byte {position}", whole[:position]
            if isinstance(argument, (str, bytes, bytearray)) and protocol % 2 == 0:
                yield f"protocol {protocol}, cut within byte {position}", whole[: position + 2]


def _dtypes() -> Iterator[tuple[str, bytes]]:
    attack = dtype("V8", text("|"), NONE * 3 + integer(8) + integer(1) + b"K\x3f")
    yield "a void dtype with flags, over an address", array((1,), attack, raw(struct.pack("<Q", 0x41414141)))
    for flags in (1, 2, 4, 8, 16, 32, 63, 64, 127, 255, -1, -128, 2**31 - 1, 2**63 - 1):
        kind = dtype("u8", None, NONE * 3 + integer(-1) * 2 + integer(flags))
        yield f"flags {flags}", array((1,), kind, raw(bytes(8)))
    for size, alignment in ((8, 8), (0, -1), (-1, 0), (2**31 - 1, 1), (-2, -2), (1, -1)):
        kind = dtype("u1", None, NONE * 3 + integer(size) + integer(alignment) + ZERO)
        yield f"size {size}, alignment {alignment}", array(kind=kind)
    tail = integer(-1) * 2 + ZERO
    yield "flags that are a bool", array(kind=dtype("u1", None, NONE * 3 + integer(-1) * 2 + FALSE))
    yield (
        "sizes that are floats",
        array(kind=dtype("u1", None, NONE * 3 + (b"G" + struct.pack(">d", -1)) * 2 + ZERO)),
    )
    yield "a subarray", array(kind=dtype("u1", None, tuple_of(DTYPE, tuple_of(integer(2**30))) + NONE * 2 + tail))
    yield "names", array(kind=dtype("u1", None, NONE + tuple_of(text("a")) + NONE + tail))
    yield "fields", array(kind=dtype("u1", None, NONE * 2 + b"}" + tail))
    yield "metadata", array(kind=dtype("u1", None, NONE * 3 + tail + b"}", version=4))
    for version in (0, 1, 2, 4, 5, -1):
        yield f"version {version}", array(kind=dtype(version=version))
    codes = ["O", "|O", "O8", "V8", "V0", "U1", "S5", "a5", "M8", "M8[us]", "m8[ns]", "c8", "c16", "f16", "g"]
    for code in [
        *codes,
        "i3",
        "",
        "u1,u1",
        "(2,)u1",
        "b",
        "u1 ",
        "\0",
        "int64",
        "B1",
        "u16",
        "?",
        "\N{ROMAN NUMERAL ONE}",
    ]:
        yield f"a dtype {code!a}", array((1,), dtype(code, text("|"), None), raw(bytes(8)))
        yield (
            f"a dtype {code!a}, by _frombuffer",
            FROM_BUFFER + tuple_of(raw(bytes(8)), dtype(code, text("<")), tuple_of(ONE), text("C")) + b"R",
        )
    for order in (
        text("="),
        text("!"),
        text("<"),
        text(""),
        text("||"),
        text("|" * 500),
        NONE,
        ONE,
        raw(b"|"),
        b"]",
    ):
        yield f"byte order {order[:12]!r}", array(kind=dtype("u1", order))
    yield "two-byte numbers of no order", array((2,), dtype("i2", text("|")))
    state = tuple_of(integer(3), text("|"), NONE * 3, integer(-1) * 2, ZERO)
    yield "a dtype built twice", array(kind=dtype() + state + b"b")
    yield "a dtype not built", array(kind=DTYPE + tuple_of(text("u1"), FALSE, TRUE) + b"R")
    yield "the dtype itself as a dtype", array(kind=DTYPE)
    yield "an aligned dtype", array(kind=DTYPE + tuple_of(text("u1"), TRUE, TRUE) + b"R" + state + b"b")
    yield "a dtype of a dtype", DTYPE + tuple_of(dtype(), FALSE, TRUE) + b"R"
    yield "a dtype of a list", DTYPE + tuple_of(b"]", FALSE, TRUE) + b"R"
    for count in (0, 1, 2, 4, 50):
        yield f"a dtype of {count} arguments", DTYPE + tuple_of(*[text("u1")] * count) + b"R"
    for count in (0, 1, 3, 7, 9, 1000):
        yield f"a dtype's state of {count} values", dtype()[: -len(state) - 1] + tuple_of(*[NONE] * count) + b"b"
    yield "a dtype's state that is a dict", DTYPE + tuple_of(text("u1"), FALSE, TRUE) + b"R}b"


def _arrays() -> Iterator[tuple[str, bytes]]:
    huge = [(2**31,), (2**40,), (2**62, 4), (2**63 - 1,) * 4, (2**32, 2**32), (712, 2**20), (5,), (3,), (4, 0)]
    for shape in [
        *huge,
        (-4,),
        (-1,),
        (-2, -2),
        (0, 2**62, 2**62),
        (0, 2**63 - 1),
        (2**62, 0, 8, 8),
        (),
        (1, 1, 1),
    ]:
        yield f"shape {shape}", array(shape)
        order = tuple_of(*map(integer, shape))
        yield (
            f"shape {shape}, by _frombuffer",
            FROM_BUFFER + tuple_of(raw(bytes(4)), dtype(), order, text("C")) + b"R",
        )
        if shape != (0,) and len(shape) < 3:
            yield f"_reconstruct of shape {shape}", begun(shape=order)
    for shape in ((0, 2**62, 2**62), (0, 2**63 - 1), (2**62, 0, 8, 8)):
        yield f"shape {shape} of no bytes", array(shape, data=raw(b""))
        yield f"shape {shape} of no bytes, wide", array(shape, dtype("f8"), raw(b""))
    for rank in (5, 32, 33, 64, 1000):
        yield f"rank {rank}", array((1,) * rank, data=raw(b"\0"))
    shapes = {
        "a list": b"]",
        "a number": ONE,
        "a text": text("4"),
        "floats": tuple_of(b"G" + struct.pack(">d", 4)),
    }
    shapes |= {
        "bools": tuple_of(TRUE * 1),
        "nested": tuple_of(tuple_of(integer(4))),
        "none": NONE,
        "text": text("4"),
    }
    for name, shape in shapes.items():
        yield f"a shape that is {name}", array(shape, data=raw(b"\0") if name == "bools" else None)
    for name, kind in {"dtype": DTYPE, "_reconstruct": RECONSTRUCT, "None": NONE, "text": text("x")}.items():
        yield f"_reconstruct of {name}", begun(kind)
    for code in (raw(b"i"), raw(b"O"), raw(b"b" * 300), raw(b""), text("V"), NONE, ONE):
        yield f"_reconstruct of kind {code[:8]!r}", begun(code=code)
    for count in (0, 1, 2, 4):
        yield f"_reconstruct of {count} arguments", RECONSTRUCT + tuple_of(*[NDARRAY] * count) + b"R"
    yield "_reconstruct of what is no tuple", RECONSTRUCT + b"]R"
    yield "an array's state of four values", begun() + tuple_of(ONE, EMPTY, dtype(), FALSE) + b"b"
    yield "an array's state of six values", array(more=NONE)
    yield "an array's state that is a dict", begun() + b"}b"
    yield "an array that is never filled", begun()
    yield "an array that is filled twice", array() + array()[len(begun()) :]
    for version in (ZERO, integer(2), integer(-1), TRUE, NONE, text("1")):
        yield f"an array of version {version!r}", array(version=version)
    for fortran in (ZERO, ONE, NONE, text("F"), integer(2**60)):
        yield f"an array of order {fortran!r}", array(fortran=fortran)
    for name, data in {"text": text("abcd"), "a number": integer(4), "a list": b"]", "an array": array()}.items():
        yield f"an array filled with {name}", array(data=data)
    for value in (2, 128, 255):
        yield f"a bool of {value}", array((1,), dtype("b1"), raw(bytes([value])))
    objects = dtype("O8", text("|"), NONE * 3 + integer(-1) * 2 + b"K\x3f")
    yield "objects from bytes", array((1,), objects, raw(bytes(8)))
    yield "objects, many", array((2,), objects, b"](NNe")
    yield "objects, 1-D", array((1,), objects, b"]Na")
    yield "objects, none", array(EMPTY, objects, b"]")
    yield "objects by a billion", array((10**9,), objects, b"]Na")
    for size in (0, 3, 9, 4096):
        yield f"a scalar of {size} bytes", SCALAR + tuple_of(dtype("f8"), raw(bytes(size))) + b"R"
    yield "a scalar of an object", SCALAR + tuple_of(objects, raw(bytes(8))) + b"R"
    yield "a scalar of a text", SCALAR + tuple_of(text("f8"), raw(bytes(8))) + b"R"
    yield "a scalar of one argument", SCALAR + tuple_of(dtype("f8")) + b"R"
    for order in ("A", "K", "", "c", "CC"):
        value = FROM_BUFFER + tuple_of(raw(bytes(4)), dtype(), tuple_of(integer(4)), text(order)) + b"R"
        yield f"_frombuffer in order {order!r}", value
    yield (
        "_frombuffer that is built",
        FROM_BUFFER
        + tuple_of(raw(bytes(4)), dtype(), tuple_of(integer(4)), text("C"))
        + b"R"
        + array()[len(begun()) :],
    )
    yield "ndarray, called", NDARRAY + tuple_of(tuple_of(integer(2**40))) + b"R"
    yield "bytes of a number", named("__builtin__", "bytes") + tuple_of(integer(2**40)) + b"R"
    once = raw(bytes(2**14)) + b"\x94"
    again = array((2**14,), data=b"j" + struct.pack("<I", 0))
    yield "one buffer as a hundred arrays", b"(" + once + again * 100 + b"t"


def _encodings() -> Iterator[tuple[str, bytes]]:
    nested = text("\xff" * 20)
    for _ in range(36):
        nested = ENCODE + tuple_of(nested, text("latin1")) + b"R"
    yield "36 encodings, one in the other", nested
    nested = ENCODE * 36 + text("\xff" * 20) + (text("latin1") + b"\x86R") * 36
    yield "36 encodings, one in the other, without marks", nested
    unicode = text("\xff" * 20)
    for _ in range(36):
        unicode = ENCODE + tuple_of(unicode, text("unicode_escape")) + b"R"
    yield "36 escapes, one in the other", unicode
    for codec in ("utf-8", "utf-16", "latin-1", "latin1\0", "hex", "zip", "rot13", "idna", "LATIN1", ""):
        yield f"encoded as {codec!a}", ENCODE + tuple_of(text("x"), text(codec)) + b"R"
    for name, value in {"bytes": raw(b"x"), "a list": b"]", "a number": ONE, "a dtype": dtype()}.items():
        yield f"{name}, encoded", ENCODE + tuple_of(value, text("latin1")) + b"R"
    for name, data in {
        "beyond latin1": "\u0100".encode(),
        "no UTF-8": b"\xff",
        "a surrogate": b"\xed\xa0\x80",
    }.items():
        yield f"text {name}, encoded", ENCODE + tuple_of(text(data), text("latin1")) + b"R"
    for count in (0, 1, 3):
        yield f"encode of {count} arguments", ENCODE + tuple_of(*[text("latin1")] * count) + b"R"
    long = text("a" * 10**4) + b"\x94"
    again = ENCODE + tuple_of(b"j" + struct.pack("<I", 0), text("latin1")) + b"R"
    yield "one text encoded 200 times", b"(" + long + again * 200 + b"t"


def _memos() -> Iterator[tuple[str, bytes]]:
    for index in (1, 2**20, 2**31, 2**32 - 1):
        yield f"kept as number {index}", NONE + b"r" + struct.pack("<I", index)
        yield f"asked for number {index}", b"j" + struct.pack("<I", index)
    yield "kept as number 255", NONE + b"q\xff"
    yield "asked for number 0 of none", b"h\x00"
    yield "kept without a value", b"(" + b"\x94" + b"t"
    yield "a list that holds itself", b"]\x94h\x00a"
    yield "a dict that holds itself", b"}\x94" + text("a") + b"h\x00s"
    yield "a tuple that holds itself", b"](" + b"\x94" + b"h\x00ta"
    laughs = text("ha") + b"\x94"
    for level in range(40):
        laughs += (b"h" + bytes([level])) * 2 + b"\x86\x94"
    yield "a billion laughs, in tuples", laughs
    laughs = b"]\x94"
    for level in range(40):
        laughs += b"](" + (b"h" + bytes([level])) * 2 + b"e\x94"
    yield "a billion laughs, in lists", laughs
    yield "a loop of asking", NONE + b"\x94" + b"h\x00" * 110_000


def _floods() -> Iterator[tuple[str, bytes]]:
    yield "200,000 values", NONE * 200_000
    yield "5,000 values", NONE * 5_000
    yield "200,000 marks", b"(" * 200_000
    yield "20 marks", b"(" * 20 + b"t" * 20
    yield "tuples 200,000 deep", EMPTY + b"\x85" * 200_000
    yield "lists 5,000 deep", b"]" * 5_000 + b"a" * 4_999
    yield "200,000 values that are kept", NONE + b"\x94" * 200_000
    yield "a list of 200,000", b"]" + (b"(" + NONE * 1000 + b"e") * 200
    yield "200,000 frames", (b"\x95" + bytes(8)) * 200_000 + NONE
    yield "200,000 dtypes", b"](" + (dtype() + b"\x94") * 20_000 + b"e"


def _structures() -> Iterator[tuple[str, bytes]]:
    whole = with_extra(NONE)
    base = whole[2:]
    yield "nothing", b""
    yield "a protocol alone", b"\x80\x04"
    yield "an end alone", b"."
    yield "a protocol and an end", b"\x80\x04."
    yield "no protocol", base
    for protocol in (0, 1, 6, 255):
        yield f"protocol {protocol}", bytes([0x80, protocol]) + base
    yield "two protocols", b"\x80\x04" + whole
    yield "a second pickle", whole + whole
    yield "a byte after its end", whole + b"\0"
    yield "no end", whole[:-1]
    yield "a value left over", b"\x80\x04N" + base
    yield "an open mark", b"\x80\x04(" + base
    yield "a bare dict", b"\x80\x04}."
    yield "a list", b"\x80\x04]."
    yield "an array", b"\x80\x04" + array() + b"."
    yield "no values", b"\x80\x04" + NONE + b"."
    yield "a marker", b"\x80\x04" + DTYPE + b"."
    for name, key in {"number": ONE, "bytes": raw(b"x"), "tuple": EMPTY, "None": NONE, "list": b"]"}.items():
        yield f"a {name} as a key", with_extra(NONE, key)
    yield "a key twice", with_extra(NONE, text("dones"))
    yield "a key that is no UTF-8", with_extra(NONE, text(b"\xff"))
    yield "a key of 10,000 characters", with_extra(NONE, text("k" * 10_000))
    stubs = {"a key without a value": b"}(Nu", "items of a list": b"](" + text("a") + NONE + b"u"}
    stubs |= {"append to a dict": b"}Na", "append to a text": text("a") + b"Na", "appends to a tuple": b")(Ne"}
    stubs |= {
        "build a list": b"])b",
        "build a dict": b"})b",
        "build a marker": DTYPE + b")b",
        "build a text": text("a") + b")b",
    }
    stubs |= {"call a text": text("eval") + b")R", "call a list": b"])R", "call with a list": DTYPE + b"]R"}
    stubs |= {"a tuple without a mark": b"t", "items without a mark": b"u", "appends without a mark": b"e"}
    stubs |= {"a tuple of what is not there": b"(N\x87t", "call beyond a mark": DTYPE + EMPTY + b"(Rt"}
    stubs |= {"a set item of one": b"}(" + NONE + b"st", "an item below the mark": b"}(Nat"}
    for name, stub in stubs.items():
        yield name, with_extra(stub)


# .npy headers


def npys() -> Iterator[tuple[str, bytes]]:
    """Yields files that must be refused, each with its name."""
    whole = valid_pickle(3)
    texts = [
        "",
        "{}",
        "None",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2**62,), }",
        "(" * 110,
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (), }",
        "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (), }",
        "__import__('os').system('true')",
        "{'descr': '|O', 'fortran_order': False, 'shape': (), 'x': 1, }",
        "{'descr': '|O', 'shape': (), }",
        "{'descr': '|O', 'fortran_order': 0, 'shape': (), }",
        "{'descr': 'O', 'fortran_order': False, 'shape': []}",
    ]
    for header in texts:
        yield f"header {header!r}", npy(whole, header)
    good = npy(whole)
    yield "nothing", b""
    yield "a pickle alone", whole
    yield "magic alone", good[:6]
    for version in ((0, 0), (1, 1), (2, 0), (3, 0), (255, 255)):
        yield f"version {version}", good[:6] + bytes(version) + good[8:]
    for length in (0, 1, 117, 119, 65535):
        yield f"a header of {length} bytes", good[:8] + struct.pack("<H", length) + good[10:]
    for cut in (7, 9, 10, 60, 127):
        yield f"cut at byte {cut}", good[:cut]
    for key in EPISODE:
        yield f"no {key}", npy(valid_pickle(3, {k: v for k, v in EPISODE.items() if k != key}))
    changes: dict[str, Any] = {
        "frames of another shape": {"observations": np.zeros((1, 64, 64, 3), np.uint8)},
        "no frames": {"observations": np.zeros((0, 3, 64, 64), np.uint8)},
        "frames of NaN": {"observations": np.full((1, 3, 64, 64), np.nan)},
        "frames of infinities": {"observations": np.full((1, 3, 64, 64), np.inf, np.float16)},
        "frames of -1": {"observations": np.full((1, 3, 64, 64), -1, np.int8)},
        "frames of bools": {"observations": np.zeros((1, 3, 64, 64), np.bool_)},
        "no actions": {"actions": np.zeros(0)},
        "an action of NaN": {"actions": np.array([np.nan])},
        "an infinite action": {"actions": np.array([np.inf])},
        "action 15": {"actions": np.array([15])},
        "action 2**64 - 1": {"actions": np.array([2**64 - 1], np.uint64)},
        "action -1": {"actions": np.array([-1])},
        "action 0.5": {"actions": np.array([0.5])},
        "a reward of NaN": {"rewards": np.array([np.nan])},
        "an infinite reward": {"rewards": np.array([np.inf])},
        "a reward beyond float32": {"rewards": np.array([1e39])},
        "another return": {"rewards": np.array([7.0])},
        "dones of NaN": {"dones": np.array([np.nan])},
        "dones of 2": {"dones": np.array([2])},
        "not done": {"dones": np.array([False])},
        "dones of no axis": {"dones": np.array(True)},
        "dones of two axes": {"dones": np.ones((1, 2), bool)},
    }
    for name, change in changes.items():
        yield name, npy(valid_pickle(3, {**EPISODE, **change}))


# archives


def tars() -> Iterator[tuple[str, bytes]]:
    """Yields archives that must be refused, each with its name."""
    data = npy(valid_pickle(3))
    good = member(data)
    kinds = {
        "a hard link": tarfile.LNKTYPE,
        "a symbolic link": tarfile.SYMTYPE,
        "a character device": tarfile.CHRTYPE,
        "a block device": tarfile.BLKTYPE,
        "a pipe": tarfile.FIFOTYPE,
        "a contiguous file": tarfile.CONTTYPE,
        "a sparse file": tarfile.GNUTYPE_SPARSE,
        "a long link": tarfile.GNUTYPE_LONGLINK,
        "a volume": b"V",
        "a volume's rest": b"M",
        "a dump": b"D",
        "Solaris' pax": b"X",
        "a vendor's": b"A",
        "type 0xff": b"\xff",
    }
    for name, kind in kinds.items():
        for at in ("first", "last"):
            link = member(b"", "1" + NAME, type=kind, linkname="/etc/passwd", size=0)
            yield f"{name}, {at}", tar(*((link, good) if at == "first" else (good, link)))
    for name, size in {"1 GiB": 2**30, "8 GiB": 2**33 - 1, "4 TiB": 2**42, "an exabyte": 2**60}.items():
        for kind, what in (
            (tarfile.REGTYPE, "a file"),
            (tarfile.SYMTYPE, "a link"),
            (tarfile.DIRTYPE, "a folder"),
        ):
            yield f"{what} of {name}", tar(member(b"", type=kind, size=size), good)
        for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            yield f"an extension {kind!r} of {name}", tar(member(b"", type=kind, size=size), good)
        yield f"a README of {name}", tar(member(b"", "README", size=size), good)
    sizes = {"negative": b"\xff" * 12, "in binary": b"\x80" + bytes(10) + b"\x01", "blank": b" " * 12}
    sizes |= {"no octal": b"0000000009\0 ", "a text": b"many bytes!\0", "two": b"0001\x000001\0\0\0"}
    for name, size in sizes.items():
        yield f"a size that is {name}", tar(_resized(good, size))
    for value in (b"0" * 6 + b"\0 ", b"\xff" * 8, bytes(8)):
        yield f"checksum {value!r}", tar(good[:148] + value + good[156:])
    yield "magic of no tar", tar(_with(good, 257, b"TAPE!\0\0\0"))
    names = {
        "parent": f"../{NAME}",
        "parent within": f"a/../../{NAME}",
        "parent last": f"{NAME}/..",
        "backslashes": f"..\\{NAME}",
        "newline": f"a\n{NAME}",
        "escape": f"\x1b]0;x\x07{NAME}",
        "right to left": f"\u202e{NAME}",
        "zero width": f"\u200b{NAME}",
        "255 characters": "a" * 255 + NAME,
        "9000 characters": "a" * 9000 + NAME,
        "no UTF-8": f"\udcff{NAME}",
        "no name": ".npy",
        "no length": "x_17_0.50.npy",
        "0 steps": "x_0_17_0.50.npy",
        "7000 steps": "x_7000_17_0.50.npy",
        "2 steps": "x_2_17_0.50.npy",
        "10**30 steps": f"x_{10**30}_17_0.50.npy",
        "a level of 33 bits": f"x_1_{2**32}_0.50.npy",
        "return 1e9": "x_1_17_1000000000.npy",
        "a level of 60 digits": f"x_1_{'9' * 60}_0.50.npy",
        "a return of 200 digits": f"x_1_17_{'9' * 200}.npy",
        "digits of another script": "x_1_\u0661_0.50.npy",
        "return NaN": "x_1_17_nan.npy",
    }
    for name, value in names.items():
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            yield f"a name: {name}, format {form}", tar(member(data, value, form=form))
    yield "an absolute name", tar(_with(good, 0, b"/etc/".ljust(8, b"/")))
    yield "an empty name", tar(_with(good, 0, bytes(100)))
    yield "the same name twice", tar(good, good)
    yield "nothing but a folder", tar(member(b"", "", type=tarfile.DIRTYPE))
    yield "nothing", tar()
    yield "2,000 folders", tar(*[member(b"", f"f{i}", type=tarfile.DIRTYPE) for i in range(2000)], good)
    yield "2,000 texts", tar(*[member(b"x", f"{i}.txt") for i in range(2000)], good)
    pax = b"21 path=coinrun/a.npy"
    broken = {
        "no length": b"path=x\n",
        "length 0": b"0 path=x\n",
        "length -1": b"-1 path=x\n",
        "too long": b"99 path=x\n",
        "no equals": b"7 path\n",
        "no end": pax + b"!",
        "a sparse map": b"26 GNU.sparse.major=1.0.0\n",
        "a size": b"10 size=1\n",
        "no UTF-8": b"9 path=\xff\n",
        "binary": bytes(range(256)),
        "a huge length": b"9" * 400 + b" path=x\n",
    }
    for name, record in broken.items():
        yield f"pax: {name}", tar(member(record, type=tarfile.XHDTYPE), good)
    yield "pax, global path", tar(member(b"10 path=x\n", type=tarfile.XGLTYPE), good)
    yield (
        "pax of 1 MiB",
        tar(member(b"1048576 comment=" + b"x" * (2**20 - 17) + b"\n", type=tarfile.XHDTYPE), good),
    )
    yield "2,000 global pax headers", tar(*[member(b"12 comment=\n", type=tarfile.XGLTYPE)] * 2000, good)
    extension = member(b"12 comment=\n", type=tarfile.XHDTYPE)
    yield "pax on pax, 5,000 times", tar(*[extension] * 5000, good)
    long = member(b"a/" + NAME.encode() + b"\0", type=tarfile.GNUTYPE_LONGNAME)
    yield "a name on a name, 5,000 times", tar(*[long] * 5000, good)
    yield "a name without a file", tar(good, long)
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**50)}
    yield "a sparse file by pax", tar(member(data, form=tarfile.PAX_FORMAT, pax_headers=sparse))

    whole = good + bytes(1024)
    for cut in range(0, len(whole) - 512, 512):
        yield f"cut at block {cut // 512}", xz(whole[:cut])
    yield "cut within a header", xz(whole[:100])
    packed = xz(whole)
    for cut in range(0, len(packed), max(1, len(packed) // 24)):
        yield f"xz, cut at byte {cut}", packed[:cut]
    yield "xz, last byte missing", packed[:-1]
    yield "xz, its checksum flipped", packed[:-20] + bytes([packed[-20] ^ 1]) + packed[-19:]
    yield "xz, a byte more", packed + b"\0"
    yield "xz, a second stream", packed + packed
    yield "xz of nothing", xz(b"")
    yield "xz of noise", xz(np.random.default_rng(0).bytes(10_000))
    yield "noise", np.random.default_rng(1).bytes(10_000)
    yield "no byte", b""
    for name, compress in {"gz": gzip.compress, "bz2": bz2.compress, "zlib": zlib.compress, "tar": bytes}.items():
        yield f"{name}, not xz", compress(whole)
    yield "lzma, not xz", lzma.compress(whole, lzma.FORMAT_ALONE, preset=0)
    for size in (30, 40):
        yield f"xz with a dictionary of code {size}", _with_dictionary(packed, size)
    yield "128 MiB after the last file", bomb(whole)
    yield "a folder of 128 MiB", bomb(member(b"", "x", type=tarfile.DIRTYPE, size=2**27))
    yield "a file of 128 MiB", bomb(member(b"", size=2**27))
    yield "a text of 128 MiB", bomb(member(b"", "README", size=2**27))
    yield "a second file after its end", xz(whole + good + bytes(1024))


def _with(header: bytes, at: int, value: bytes) -> bytes:
    """The member with bytes of its header changed and the checksum right."""
    changed = header[:at] + value + header[at + len(value) :]
    total = sum(changed[:148]) + sum(changed[156:512]) + 8 * 32
    return changed[:148] + b"%06o\0 " % total + changed[156:]


def _resized(header: bytes, size: bytes) -> bytes:
    return _with(header, 124, size)


def _with_dictionary(packed: bytes, code: int) -> bytes:
    """The xz file with another dictionary size in its first block's header: (2 | code & 1) << code // 2 + 11 bytes."""
    size = (packed[12] + 1) * 4
    head = bytearray(packed[12 : 12 + size - 4])
    at = head.index(b"\x21\x01") + 2
    head[at] = code
    return packed[:12] + bytes(head) + struct.pack("<I", zlib.crc32(bytes(head))) + packed[12 + size :]


# at random


def mutations(seed: int, count: int) -> Iterator[Case]:
    """Yields archives of random opcodes, of random arrays, or whose pickle, tar or xz bytes are changed at random."""
    rng = np.random.default_rng(seed)
    bases = [valid_pickle(protocol) for protocol in range(2, 6)]
    bases += [with_extra(array()), with_extra(b"](NN" + text("a") + b"e")]
    for number in range(count):
        base = bases[rng.integers(len(bases))]
        layer = rng.choice(["pickle", "opcodes", "arrays", "tar", "xz"], p=[0.5, 0.2, 0.1, 0.1, 0.1])
        pickled, whole = base, b""
        if layer == "pickle":
            pickled = _mutated(base, rng, bases)
        elif layer == "opcodes":
            pickled = with_extra(_opcodes(rng))
        elif layer == "arrays":
            pickled = valid_pickle(int(rng.integers(2, 6)), _arrays_at_random(rng))
        elif layer == "tar":
            whole = _mutated(member(npy(base)) + bytes(1024), rng, [])
            pickled = _pickle_in(whole)
        packed = xz(whole) if whole else archive_of(npy(pickled))
        yield Case(
            f"{seed}/{number}, {layer} at random", _mutated(packed, rng, []) if layer == "xz" else packed, pickled
        )


def _opcodes(rng: np.random.Generator) -> bytes:
    """What numpy's pickles are made of, in any order."""
    pieces = [
        NONE,
        TRUE,
        FALSE,
        ZERO,
        ONE,
        EMPTY,
        b"]",
        b"}",
        b"(",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"a",
        b"e",
        b"s",
        b"u",
    ]
    pieces += [
        b"R",
        b"b",
        b"\x94",
        b"h\x00",
        b"h\x01",
        b"h\x02",
        b"j\0\0\0\0",
        text("latin1"),
        text("u1"),
        text("|"),
    ]
    pieces += [
        RECONSTRUCT,
        FROM_BUFFER,
        SCALAR,
        NDARRAY,
        DTYPE,
        ENCODE,
        raw(b"b"),
        raw(bytes(4)),
        integer(4),
        integer(-1),
    ]
    pieces += [
        begun(),
        dtype(),
        dtype("f4"),
        array(),
        tuple_of(ONE, tuple_of(integer(4)), dtype(), FALSE, raw(bytes(4))),
    ]
    pieces += [
        ENCODE + tuple_of(text("abcd"), text("latin1")) + b"R",
        SCALAR + tuple_of(dtype(), raw(b"a")) + b"R",
    ]
    chosen = [pieces[i] for i in rng.integers(len(pieces), size=rng.integers(1, 9))]
    return b"".join(chosen) if rng.random() < 0.5 else tuple_of(*chosen)


def _arrays_at_random(rng: np.random.Generator) -> dict[str, Any]:
    """An episode of which one or two arrays are of another type, shape or value."""
    episode = dict(EPISODE)
    for key in rng.choice(sorted(EPISODE), rng.integers(1, 3), replace=False):
        kind = rng.choice(["b1", "i1", "u1", "<i2", ">i4", "<i8", "<u8", ">u2", "<f2", "<f4", ">f4", "<f8", ">f8"])
        values = np.asarray(EPISODE[key]).astype(kind)
        if rng.random() < 0.5:
            extremes = [np.nan, np.inf, -np.inf, -1, 14, 15, 0.5, 255, 256, 1e38, 4e38, 1e300, 2**31, 2**63, -0.0]
            with np.errstate(all="ignore"):
                values.reshape(-1)[rng.integers(values.size)] = np.array(rng.choice(extremes)).astype(kind)
        if rng.random() < 0.3:
            shapes = [(-1,), (1, -1), (-1, 1), (1, 1, -1), (1, 64, 64, -1), (-1, 3, 64, 64)]
            shape = shapes[rng.integers(len(shapes))]
            if values.size % abs(int(np.prod(shape))) == 0:
                values = values.reshape(shape)
        if rng.random() < 0.2:
            values = np.concatenate([values] * int(rng.integers(0, 3)) or [values[:0]])
        episode[str(key)] = values
    return episode


def _mutated(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    frames = data.find(bytes(2000))  # flipped pixels are dull: nine in ten changes go elsewhere
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(changed)))
        if frames >= 0 and frames <= at < frames + 12_288 and rng.random() < 0.9:
            at = (at - frames) % frames if rng.random() < 0.5 else min(at + 12_288, len(changed) - 1)
        size = int(rng.integers(1, 12))
        match rng.integers(7):
            case 0:
                changed[at] ^= 1 << int(rng.integers(8))
            case 1:
                changed[at] = int(rng.integers(256))
            case 2:
                changed[at] = sorted(NUMPY_OPCODES)[int(rng.integers(len(NUMPY_OPCODES)))]
            case 3:
                del changed[at : at + size]
            case 4:
                changed[at:at] = changed[at : at + size]
            case 5:
                changed[at : at + size] = rng.bytes(size)
            case _:
                other = others[rng.integers(len(others))] if others else bytes(changed)
                start = int(rng.integers(len(other)))
                changed[at : at + size] = other[start : start + size]
        if not changed:
            break
    return bytes(changed)


def _pickle_in(whole: bytes) -> bytes:
    start = re.search(rb"\} *\n\x80", whole)
    end = whole.rfind(b".", 0, len(whole.rstrip(b"\0")))
    return whole[start.end() - 1 : end + 1] if start else b""


# the check


class _Stock(pickle.Unpickler):
    """Python's own, for pickles that the reader under test has let through."""

    def find_class(self, module: str, name: str) -> Any:
        admitted = {"_reconstruct", "_frombuffer", "scalar", "ndarray", "dtype", "encode", "bytes"}
        assert name in admitted, (module, name)
        return super().find_class(module.replace("numpy._core", "numpy.core"), name)


@dataclasses.dataclass
class Outcome:
    """Counts of a campaign, its slowest archive in seconds and the growth of resident memory in bytes."""

    refused: int = 0
    read: int = 0
    seconds: float = 0.0
    slowest: str = ""
    slowest_seconds: float = 0.0
    memory: int = 0


def check(case: Case, folder: Path) -> bool:
    """Reads the archive and returns whether it was refused.

    Raises:
        AssertionError: If it is refused in another way than by one printable line, if anything is left in the folder,
            or if it is read and is no valid episode, or not the one that Python's unpickler makes.
    """
    path = folder / "a.tar.xz"
    path.write_bytes(case.archive)
    try:
        if case.written:
            import_gen_dgrl(path, "coinrun", folder / "out.h5")
        episodes = list(read_gen_dgrl(path, get_game("coinrun")))
    except DatasetFormatError as error:
        assert str(error).replace(str(path), "").isprintable(), (case.name, str(error))
        assert len(str(error)) < 600, (case.name, str(error))
        assert [file.name for file in folder.iterdir()] == [path.name], case.name
        return True
    assert case.pickle is not None, f"{case.name}: read, not refused"
    for episode in episodes:
        expected = _Stock(io.BytesIO(case.pickle)).load().item()
        length = len(episode.actions)
        assert length >= 1 and episode.observations.shape == (length, 3, 64, 64), case.name
        assert episode.observations.dtype == np.uint8 and episode.actions.dtype == np.int32, case.name
        assert episode.rewards.dtype == np.float32 and np.isfinite(episode.rewards).all(), case.name
        assert episode.actions.min() >= 0 and episode.actions.max() < 15, case.name
        for key in ("observations", "actions", "rewards"):
            wanted = np.asarray(expected[key])[:length].reshape(getattr(episode, key).shape)
            wanted = wanted.astype(np.float32) if key == "rewards" else wanted
            assert np.array_equal(getattr(episode, key), wanted), (case.name, key)
    return False


def _held(line: str) -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"^{line}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def run(seed: int, count: int) -> Outcome:
    """Checks a whole campaign in this process, within :data:`ADDRESS_SPACE`."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for protocol in range(2, 6):  # what is not changed is read
            pickled = valid_pickle(protocol)
            assert not check(Case(f"protocol {protocol}", archive_of(npy(pickled)), pickled), folder)
        for value in (NONE, array(), b"](" + NONE + text("a") + b"e", dtype() + b"0"[:0]):
            assert not check(Case("by hand", archive_of(npy(with_extra(value))), with_extra(value)), folder)
        cases = campaign(seed, count)
        limit = _held("VmSize") + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        before, start = _held("VmHWM"), time.perf_counter()
        for case in cases:
            began = time.perf_counter()
            if check(case, folder):
                outcome.refused += 1
            else:
                outcome.read += 1
            took = time.perf_counter() - began
            assert took < SECONDS, f"{case.name}: {took:.1f} s"
            if took > outcome.slowest_seconds:
                outcome.slowest, outcome.slowest_seconds = case.name, took
        outcome.seconds = time.perf_counter() - start
        outcome.memory = _held("VmHWM") - before
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=500, help="mutated archives, besides those made by hand")
    options = parser.parse_args()
    print(json.dumps(dataclasses.asdict(run(options.seed, options.count))))


if __name__ == "__main__":
    sys.exit(main())
