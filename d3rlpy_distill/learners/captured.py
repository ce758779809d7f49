"""A function that is called again and again on the same tensors, launched at once on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

__all__ = ["Captured"]

WARM_UP = 3  # calls before the capture, so that libraries choose their algorithms outside of it


class Captured:
    """Calls a function; on a GPU, captured as a CUDA graph at the first call.

    A small network's update is hundreds of kernels, each shorter than Python takes to launch it. A graph launches
    them together. Elsewhere this is a plain call.

    Args:
        function: Reads and writes tensors that stay where they are, takes and returns nothing, and never waits for
            the GPU. Random numbers it draws from torch's default generator.
        device: Where the tensors are.
        changed: The tensors that a call changes and that are read later; the calls before the capture leave them
            as they were.
    """

    def __init__(
        self, function: Callable[[], None], device: torch.device, changed: Sequence[torch.Tensor] = ()
    ) -> None:
        self._function = function
        self._device = device
        self._changed = changed
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Does what the function does."""
        if self._device.type != "cuda":
            self._function()
            return
        if self._graph is None:
            self._graph = self._capture()
        self._graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph:
        kept = [tensor.detach().clone() for tensor in self._changed]
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._function()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._function()
        with torch.no_grad():
            for tensor, before in zip(self._changed, kept, strict=True):
                tensor.copy_(before)
        return graph
