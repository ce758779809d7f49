"""Builds a network that a file names, without taking more memory than its weights in that file justify."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["no_larger_than"]

COPIES = 8
"""Of each weight: target networks and what is made on the way."""

SLACK = 1 << 22
"""Elements that any network may take besides."""

FACTORIES = ("empty", "zeros", "ones", "full", "rand", "randn", "new_empty", "new_zeros", "new_ones", "new_full")


@contextlib.contextmanager
def no_larger_than(weights: Iterable[torch.Tensor]) -> Iterator[None]:
    """Refuses to create tensors whose elements, taken together, are many times those of the weights.

    A file of 1 KB can name a network of terabytes. What it holds for it bounds what may be built.

    Args:
        weights: All that the file holds.

    Raises:
        ValueError: Inside the block, before the memory is taken.
    """
    with _Bounded(COPIES * sum(one.numel() for one in weights) + SLACK):
        yield


class _Bounded(TorchDispatchMode):
    def __init__(self, elements: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._left = elements

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in FACTORIES:
            for sizes in args[:2]:  # the second one of new_empty and its like
                if isinstance(sizes, (list, tuple)):
                    self._left -= math.prod(int(size) for size in sizes)
                    break
            if self._left < 0:
                raise ValueError("the network that it names is larger than its weights")
        return func(*args, **(kwargs or {}))
