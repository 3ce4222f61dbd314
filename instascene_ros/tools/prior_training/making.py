"""Samples made while the network learns from others: a thread of its own, and a stream of its own on a GPU."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from instascene_ros.tools.prior_training.bank import ShapeBank
from instascene_ros.tools.prior_training.samples import Samples, columns_of, drawn


class Making:
    """Batches under way, made one after the other. The same in the same order, whatever the timing."""

    def __init__(self, bank: ShapeBank, count: int, device: torch.device) -> None:
        self._bank, self._count = bank, count
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the bank was made there
        self._worker = ThreadPoolExecutor(1, "samples")
        self._begun: deque[Future[Samples]] = deque()

    def begin(self, batches: int = 1) -> None:
        """That many more; one family's shapes are new for each."""
        self._begun.extend(self._worker.submit(self._make) for _ in range(batches))

    def result(self) -> Samples:
        """The oldest batch that was begun and not yet taken."""
        samples = self._begun.popleft().result()
        if self._stream is not None:
            for column in columns_of(samples):
                column.record_stream(torch.cuda.current_stream(self._stream.device))
        return samples

    def _make(self) -> Samples:
        if self._stream is None:
            self._bank.renew()
            return drawn(self._bank, self._count)
        with torch.cuda.stream(self._stream):
            self._bank.renew()
            samples = drawn(self._bank, self._count)
        self._stream.synchronize()
        return samples
