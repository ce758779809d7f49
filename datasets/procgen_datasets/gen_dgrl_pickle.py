"""Reads the arrays of a pickled ``{str: ndarray}`` dict without Python's ``pickle``.

Python's unpickler runs what a file says. Admitting numpy's own names alone does not help: BUILD hands a dtype flags
of the file's choice (a write to any address), ``_reconstruct`` allocates any shape, nested ``_codecs.encode`` doubles
memory without end. This reader knows the opcodes that numpy's pickles of such dicts use (protocols 2 to 5, numpy 1
and 2) and nothing else:

- It imports nothing and calls nothing that a file names. A name becomes a :class:`_Marker`, and only our code says
  what a marker means.
- It allocates nothing that a file declares. Arrays are read-only views of the file's bytes, made when their shape
  times their item size is their number of bytes exactly; the text that protocol 2 holds bytes in is decoded once.
- Time and memory are linear in the file's length, and opcodes, stack, marks and memo are bounded besides.

The opcodes are specified in CPython's ``Lib/pickletools.py``, the states of dtype and ndarray in numpy's
``__reduce__`` (``core/src/multiarray/descriptor.c``, ``methods.c``).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["PickleRefusedError", "read_arrays", "shown"]

MAX_OPCODES = 100_000  # an episode takes 217 to 267
MAX_STACK = 4_096
MAX_MARKS = 16
MAX_RANK = 4
MAX_EMPTY_AXIS = 2**15  # of an array without elements
MAX_NAME = 128  # characters of a key, a module, a dtype
LAST_LATIN1_LEAD = 0xC3  # the first byte of U+00FF in UTF-8; what follows a first byte is smaller
NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
# of a dtype's state: no subarray, no fields, no metadata; size, alignment and flags that are its own
PLAIN_DTYPE = (None, None, None, -1, -1, 0)
OBJECT_DTYPE = (None, None, None, -1, -1, 63)


class PickleRefusedError(ValueError):
    """The bytes are no pickle of a dict of plain arrays; the message says why, in printable characters."""


def read_arrays(data: memoryview) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays of the dict that ``np.save(path, dict, allow_pickle=True)`` pickles.

    Args:
        data: The pickle: a 0-d object array that holds the dict.

    Returns:
        The dict's arrays, read-only views of ``data`` where its protocol stores bytes as they are: bool, integers or
        floats, at most 4 axes. Values of other kinds (numbers, text, lists) are left out.

    Raises:
        PickleRefusedError: If it is anything else.
    """
    return _Reader(data.toreadonly().cast("B")).read()


def shown(text: str) -> str:
    """Returns text of a file as a message can show it: at most 80 characters, all of them printable."""
    cut = text if len(text) <= 80 else f"{text[:77]}..."
    return cut if cut.isprintable() else ascii(cut)[1:-1]


class _Marker(Enum):
    """What a pickle of numpy's may name. A marker is compared, never called."""

    RECONSTRUCT = "_reconstruct"
    FROM_BUFFER = "_frombuffer"
    SCALAR = "scalar"
    NDARRAY = "ndarray"
    DTYPE = "dtype"
    ENCODE = "encode"
    BYTES = "bytes"


MARKERS: Final[Mapping[tuple[str, str], _Marker]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Marker.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Marker.RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _Marker.SCALAR,
    ("numpy._core.multiarray", "scalar"): _Marker.SCALAR,
    ("numpy.core.numeric", "_frombuffer"): _Marker.FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _Marker.FROM_BUFFER,
    ("numpy", "ndarray"): _Marker.NDARRAY,
    ("numpy", "dtype"): _Marker.DTYPE,
    ("_codecs", "encode"): _Marker.ENCODE,
    ("__builtin__", "bytes"): _Marker.BYTES,  # of protocol 2, which has no empty bytes
}


class _Text:
    """UTF-8 that is decoded only where it is used."""

    def __init__(self, data: memoryview) -> None:
        self.data = data


class _DType:
    """A dtype that REDUCE makes and BUILD completes, once."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.dtype: np.dtype[Any] | None = None


class _Array:
    """An array that REDUCE makes and BUILD completes, once; ``items`` are those of an object array."""

    def __init__(self) -> None:
        self.values: npt.NDArray[Any] | None = None
        self.items: list[object] | None = None


class _Scalar:
    """A numpy number, whose value nobody asks for."""


MARK: Final = object()


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: list[object] = []
        self.decoded = 0  # bytes of text that were turned into bytes
        self.claimed = 0  # bytes of arrays

    def read(self) -> dict[str, npt.NDArray[Any]]:
        for number in range(MAX_OPCODES):
            opcode = self._number(1)
            if opcode == ord("."):
                return self._result()
            if (opcode == 0x80) != (number == 0):
                raise PickleRefusedError("it begins with no protocol" if number == 0 else "it names two protocols")
            step = OPCODES.get(opcode)
            if step is None:
                raise PickleRefusedError(f"opcode 0x{opcode:02x} at byte {self.position - 1} is none of numpy's")
            step(self)
            if len(self.stack) > MAX_STACK:
                raise PickleRefusedError(f"its stack holds more than {MAX_STACK} values")
        raise PickleRefusedError(f"it has more than {MAX_OPCODES} opcodes")

    def _result(self) -> dict[str, npt.NDArray[Any]]:
        if self.position != len(self.data):
            raise PickleRefusedError(f"{len(self.data) - self.position} bytes follow its end")
        if len(self.stack) != 1 or self.marks:
            raise PickleRefusedError("it ends with an unfinished value")
        outer = self.stack[0]
        inner = outer.items[0] if isinstance(outer, _Array) and outer.items else None
        if not isinstance(inner, dict):
            raise PickleRefusedError("it holds no dict")
        arrays = {}
        for key, value in inner.items():
            if isinstance(value, _Array) and value.items is None:
                arrays[key] = self._finished(value)
        return arrays

    # bytes

    def _take(self, size: int) -> memoryview:
        if size > len(self.data) - self.position:
            raise PickleRefusedError(f"it ends within a value of {size} bytes")
        taken = self.data[self.position : self.position + size]
        self.position += size
        return taken

    def _number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    def _line(self) -> str:
        end = bytes(self.data[self.position : self.position + MAX_NAME + 1]).find(b"\n")
        if end < 0:
            raise PickleRefusedError(f"it names something of more than {MAX_NAME} characters")
        return self._decode(self._take(end + 1)[:-1])

    def _decode(self, data: memoryview) -> str:
        if len(data) > MAX_NAME:
            raise PickleRefusedError(f"a name of {len(data)} bytes; expected at most {MAX_NAME}")
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise PickleRefusedError("a name that is no UTF-8") from error

    # stack

    def _pop(self, *kinds: type) -> Any:
        floor = self.marks[-1] if self.marks else 0
        if len(self.stack) <= floor:
            raise PickleRefusedError("it takes a value from an empty stack")
        value = self.stack.pop()
        if kinds and type(value) not in kinds:
            raise PickleRefusedError(f"{_kind(value)} stands where numpy has {_names(kinds)}")
        return value

    def _top(self, *kinds: type) -> Any:
        value = self._pop(*kinds)
        self.stack.append(value)
        return value

    def _pop_mark(self) -> list[object]:
        if not self.marks:
            raise PickleRefusedError("it closes what it did not open")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def mark(self) -> None:
        if len(self.marks) == MAX_MARKS:
            raise PickleRefusedError(f"it nests more than {MAX_MARKS} deep")
        self.marks.append(len(self.stack))

    # memo: the pickler numbers what it keeps 0, 1, 2, ..., and numpy's pickles refer to what cannot change

    def _keep(self, index: int) -> None:
        if index != len(self.memo):
            raise PickleRefusedError(f"it keeps a value as number {index}; expected {len(self.memo)}")
        self.memo.append(self._top())

    def _recall(self, index: int) -> None:
        if index >= len(self.memo):
            raise PickleRefusedError(f"it asks for value {index}; it kept {len(self.memo)}")
        value = self.memo[index]
        if isinstance(value, (list, dict, tuple)):
            raise PickleRefusedError(f"it uses {_kind(value)} twice")
        self.stack.append(value)

    # values

    def protocol(self) -> None:
        protocol = self._number(1)
        if not 2 <= protocol <= 5:
            raise PickleRefusedError(f"it is of protocol {protocol}; expected 2 to 5")

    def frame(self) -> None:
        size = self._number(8)
        if size > len(self.data) - self.position:
            raise PickleRefusedError(f"it ends within a frame of {size} bytes")

    def push_long(self) -> None:
        size = self._number(1)
        if size > 8:
            raise PickleRefusedError(f"an integer of {size} bytes; expected at most 8")
        self.stack.append(self._number(size, signed=True))

    def push_float(self) -> None:
        self.stack.append(struct.unpack(">d", self._take(8))[0])

    def push_text(self, size_bytes: int) -> None:
        self.stack.append(_Text(self._take(self._number(size_bytes))))

    def push_bytes(self, size_bytes: int) -> None:
        self.stack.append(self._take(self._number(size_bytes)))

    def push_tuple(self, size: int) -> None:
        self.stack.append(tuple([self._pop() for _ in range(size)][::-1]))

    def push_marked_tuple(self) -> None:
        self.stack.append(tuple(self._pop_mark()))

    def append(self) -> None:
        value = self._pop()
        self._top(list).append(value)

    def appends(self) -> None:
        values = self._pop_mark()
        self._top(list).extend(values)

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def set_items(self) -> None:
        self._set_items(self._pop_mark())

    def _set_items(self, values: list[object]) -> None:
        target = self._top(dict)
        if len(values) % 2:
            raise PickleRefusedError("a dict with a key that has no value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, _Text):
                raise PickleRefusedError(f"a dict with {_kind(key)} as a key; expected text")
            name = self._decode(key.data)
            if name in target:
                raise PickleRefusedError(f"a dict with the key {shown(name)!r} twice")
            target[name] = value

    # names, and what they make

    def global_(self) -> None:
        self._name(self._line(), self._line())

    def stack_global(self) -> None:
        name, module = self._pop(_Text), self._pop(_Text)
        self._name(self._decode(module.data), self._decode(name.data))

    def _name(self, module: str, name: str) -> None:
        marker = MARKERS.get((module, name))
        if marker is None:
            raise PickleRefusedError(f"it asks for {shown(f'{module}.{name}')}; only numpy arrays are admitted")
        self.stack.append(marker)

    def reduce(self) -> None:
        arguments, marker = self._pop(tuple), self._pop(_Marker)
        if marker is _Marker.RECONSTRUCT:
            made: object = self._reconstruct(arguments)
        elif marker is _Marker.FROM_BUFFER:
            made = self._from_buffer(arguments)
        elif marker is _Marker.SCALAR:
            made = self._scalar(arguments)
        elif marker is _Marker.DTYPE:
            made = self._new_dtype(arguments)
        elif marker is _Marker.ENCODE:
            made = self._encode(arguments)
        elif marker is _Marker.BYTES and arguments == ():
            made = memoryview(b"")
        else:
            raise PickleRefusedError(f"it calls {marker.value}")
        self.stack.append(made)

    def build(self) -> None:
        state, target = self._pop(tuple), self._top(_Array, _DType)
        if isinstance(target, _DType):
            self._build_dtype(target, state)
        else:
            self._build_array(target, state)

    def _new_dtype(self, arguments: tuple[object, ...]) -> _DType:
        code, align, copy = _unpack(arguments, 3, "a dtype")
        if not isinstance(code, _Text) or align not in (0, False) or copy not in (1, True):
            raise PickleRefusedError("a dtype that is none of numpy's numbers")
        name = self._decode(code.data)
        if name not in (*NUMBERS, "O8", "O4"):
            raise PickleRefusedError(f"a dtype {shown(name)!r}; expected one of {', '.join(NUMBERS)}")
        return _DType(name)

    def _build_dtype(self, target: _DType, state: tuple[object, ...]) -> None:
        version, order, *rest = _unpack(state, 8, "the state of a dtype")
        plain = OBJECT_DTYPE if target.code.startswith("O") else PLAIN_DTYPE
        if target.dtype is not None or type(version) is not int or version != 3 or not isinstance(order, _Text):
            raise PickleRefusedError("a dtype that is none of numpy's numbers")
        if any(type(a) is not type(b) or a != b for a, b in zip(rest, plain, strict=True)):
            raise PickleRefusedError(f"a dtype {target.code} with fields, flags or metadata; expected a plain one")
        sign = self._decode(order.data)
        if sign not in (("|",) if target.code[1:] == "1" or target.code[0] == "O" else ("<", ">")):
            raise PickleRefusedError(f"a dtype {target.code} of byte order {shown(sign)!r}")
        target.dtype = np.dtype("O") if target.code.startswith("O") else np.dtype(f"{sign}{target.code}")

    def _encode(self, arguments: tuple[object, ...]) -> memoryview:
        text, codec = _unpack(arguments, 2, "encode's arguments")
        if not isinstance(text, _Text) or not isinstance(codec, _Text) or self._decode(codec.data) != "latin1":
            raise PickleRefusedError("it encodes something else than text as latin1")
        self.decoded += len(text.data)
        if self.decoded > len(self.data):  # the same text over and over
            raise PickleRefusedError("it encodes more text than it holds")
        if len(text.data) and np.frombuffer(text.data, np.uint8).max() > LAST_LATIN1_LEAD:
            raise PickleRefusedError("bytes that are no latin1 text")  # a wide character widens all to four bytes
        try:
            return memoryview(str(text.data, "utf-8").encode("latin-1"))
        except UnicodeError as error:
            raise PickleRefusedError("bytes that are no latin1 text") from error

    def _scalar(self, arguments: tuple[object, ...]) -> _Scalar:
        dtype, data = _unpack(arguments, 2, "a scalar")
        if not isinstance(data, memoryview) or len(data) != _number_type(dtype).itemsize:
            raise PickleRefusedError("a scalar of another size than its dtype's")
        return _Scalar()

    def _reconstruct(self, arguments: tuple[object, ...]) -> _Array:
        kind, shape, code = _unpack(arguments, 3, "_reconstruct's arguments")
        letter = code.data if isinstance(code, _Text) else code
        if kind is not _Marker.NDARRAY or shape != (0,) or letter != b"b":
            raise PickleRefusedError("an array that is not begun as numpy begins it")
        return _Array()

    def _build_array(self, target: _Array, state: tuple[object, ...]) -> None:
        version, shape, dtype, fortran, data = _unpack(state, 5, "the state of an array")
        if target.values is not None or target.items is not None:
            raise PickleRefusedError("an array that is filled twice")
        if type(version) is not int or version != 1 or type(fortran) is not bool:
            raise PickleRefusedError("an array whose state is none of numpy's")
        if isinstance(data, list):
            if not isinstance(dtype, _DType) or dtype.dtype != np.dtype("O") or shape != () or len(data) != 1:
                raise PickleRefusedError("an array of objects")
            target.items = data
        else:
            target.values = self._view(data, dtype, shape, "F" if fortran else "C")

    def _from_buffer(self, arguments: tuple[object, ...]) -> _Array:
        data, dtype, shape, order = _unpack(arguments, 4, "_frombuffer's arguments")
        letter = self._decode(order.data) if isinstance(order, _Text) else None
        if letter not in ("C", "F"):
            raise PickleRefusedError("an array in neither C nor Fortran order")
        made = _Array()
        made.values = self._view(data, dtype, shape, letter)
        return made

    def _view(self, data: object, dtype: object, shape: object, order: Any) -> npt.NDArray[Any]:
        number = _number_type(dtype)
        if not isinstance(shape, tuple) or len(shape) > MAX_RANK or any(type(n) is not int for n in shape):
            raise PickleRefusedError(f"an array whose shape is no tuple of at most {MAX_RANK} integers")
        if any(n < 0 for n in shape):
            raise PickleRefusedError(f"an array of shape {shape}")
        size = math.prod(shape) * number.itemsize  # of Python's integers, which do not overflow
        if not isinstance(data, memoryview) or len(data) != size:
            held = f"{len(data)} bytes" if isinstance(data, memoryview) else _kind(data)
            raise PickleRefusedError(f"an array {number} {shape} of {size} bytes in {held}")
        if size == 0:  # (0, 2**62, 2**62) is more than numpy can say
            if max(shape) > MAX_EMPTY_AXIS:
                raise PickleRefusedError(f"an array of shape {shape}")
            return np.empty(shape, number)
        self.claimed += size
        if self.claimed > len(self.data):
            raise PickleRefusedError("its arrays hold more bytes than it has")
        if number.kind == "b" and np.frombuffer(data, np.uint8).max() > 1:
            raise PickleRefusedError("a bool that is neither 0 nor 1")
        return np.frombuffer(data, number).reshape(shape, order=order)

    def _finished(self, value: _Array) -> npt.NDArray[Any]:
        if value.values is None:
            raise PickleRefusedError("an array that is never filled")
        return value.values


def _number_type(dtype: object) -> np.dtype[Any]:
    if not isinstance(dtype, _DType) or dtype.dtype is None or dtype.dtype.kind == "O":
        raise PickleRefusedError("an array or a scalar whose dtype is no plain number")
    return dtype.dtype


def _unpack(values: tuple[object, ...], size: int, what: str) -> tuple[Any, ...]:
    if len(values) != size:
        raise PickleRefusedError(f"{what} of {len(values)} values; expected {size}")
    return values


def _names(kinds: tuple[type, ...]) -> str:
    return " or ".join(kind.__name__.lstrip("_").lower() for kind in kinds)


def _kind(value: object) -> str:
    return f"a value of kind {type(value).__name__.lstrip('_').lower()}"


def _constant(value: object) -> Callable[[_Reader], None]:
    return lambda reader: reader.stack.append(value)


OPCODES: Final[Mapping[int, Callable[[_Reader], None]]] = {
    0x80: _Reader.protocol,
    0x95: _Reader.frame,
    ord("("): _Reader.mark,
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("K"): lambda reader: reader.stack.append(reader._number(1)),
    ord("M"): lambda reader: reader.stack.append(reader._number(2)),
    ord("J"): lambda reader: reader.stack.append(reader._number(4, signed=True)),
    0x8A: _Reader.push_long,
    ord("G"): _Reader.push_float,
    0x8C: lambda reader: reader.push_text(1),
    ord("X"): lambda reader: reader.push_text(4),
    ord("C"): lambda reader: reader.push_bytes(1),
    ord("B"): lambda reader: reader.push_bytes(4),
    0x96: lambda reader: reader.push_bytes(8),  # a bytearray, which protocol 5 has
    ord(")"): lambda reader: reader.push_tuple(0),
    0x85: lambda reader: reader.push_tuple(1),
    0x86: lambda reader: reader.push_tuple(2),
    0x87: lambda reader: reader.push_tuple(3),
    ord("t"): _Reader.push_marked_tuple,
    ord("]"): lambda reader: reader.stack.append([]),
    ord("a"): _Reader.append,
    ord("e"): _Reader.appends,
    ord("}"): lambda reader: reader.stack.append({}),
    ord("s"): _Reader.set_item,
    ord("u"): _Reader.set_items,
    ord("c"): _Reader.global_,
    0x93: _Reader.stack_global,
    ord("R"): _Reader.reduce,
    ord("b"): _Reader.build,
    ord("q"): lambda reader: reader._keep(reader._number(1)),
    ord("r"): lambda reader: reader._keep(reader._number(4)),
    0x94: lambda reader: reader._keep(len(reader.memo)),
    ord("h"): lambda reader: reader._recall(reader._number(1)),
    ord("j"): lambda reader: reader._recall(reader._number(4)),
}
