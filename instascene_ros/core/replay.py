"""Functions of images that are recorded once as a CUDA graph: a hundred small launches become one."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple
from weakref import WeakSet

import torch
from torch import Tensor


class _Recording(NamedTuple):
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    outputs: Any  # a named tuple of tensors


class Replayed:
    """Calls a function of tensors that returns a named tuple of tensors; on a GPU, replays it.

    The function must not wait for the device, and its work must depend on the shapes of the tensors and on the keyword
    arguments (which have to be hashable), never on the values in the tensors. Results are copies: a later call does not
    change them.
    """

    MAX_RECORDINGS = 4  # each holds memory for all that happens in between
    _every: "ClassVar[WeakSet[Replayed]]" = WeakSet()

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._recordings: dict[Any, _Recording] = {}
        self._every.add(self)

    @classmethod
    def forget_all(cls) -> None:
        """Let go of every recording, and of its memory on the GPU: the next calls record anew."""
        for one in cls._every:
            one._recordings.clear()

    def __call__(self, *images: Tensor, **fixed: Any) -> Any:
        if not images[0].is_cuda:
            return self._function(*images, **fixed)
        key = (tuple((image.shape, image.dtype) for image in images), tuple(sorted(fixed.items())))
        if key not in self._recordings:
            while len(self._recordings) >= self.MAX_RECORDINGS:
                del self._recordings[next(iter(self._recordings))]
            self._recordings[key] = self._record(images, fixed)
        graph, inputs, outputs = self._recordings[key]
        for mine, image in zip(inputs, images, strict=True):
            mine.copy_(image)
        graph.replay()
        return type(outputs)(*(output.clone() for output in outputs))

    @torch.no_grad()
    def _record(self, images: tuple[Tensor, ...], fixed: dict[str, Any]) -> _Recording:
        inputs = [image.clone() for image in images]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries set themselves up in the first call, which cannot be recorded
            self._function(*inputs, **fixed)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self._function(*inputs, **fixed)
        return _Recording(graph, inputs, outputs)
