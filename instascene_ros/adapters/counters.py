"""What became of the frames. Each field is written by one thread only."""

import ctypes
import gc
import resource
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class SceneCounters:
    """Written by the scene thread."""

    frames_integrated: int = 0
    dropped_invalid: int = 0
    latency_s: float = 0.0  # image stamp to published instances, of the last frame
    stage_ms: dict[str, float] = field(default_factory=dict)
    last_invalid: str = ""  # what was wrong with the last invalid frame
    num_gaussians: int = 0
    num_refused: int = 0  # Gaussians that did not fit into the full map
    num_instances: int = 0
    map_id: str = ""
    _done_s: deque[float] = field(default_factory=lambda: deque(maxlen=30))

    def integrated(self, latency_s: float, stage_ms: dict[str, float]) -> None:
        """One frame is in the map and published."""
        self.frames_integrated += 1
        self.latency_s, self.stage_ms = latency_s, stage_ms
        self._done_s.append(time.monotonic())

    @property
    def integration_hz(self) -> float:
        """Of the last frames, 0 when none came for a while."""
        done_s = list(self._done_s)
        if len(done_s) < 2 or time.monotonic() - done_s[-1] > 5.0:
            return 0.0
        return (len(done_s) - 1) / max(done_s[-1] - done_s[0], 1e-6)


def resident_mb() -> float:
    """Memory of this process now; its peak where the system does not tell."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def release_memory() -> None:
    """Give what was freed back to the system and to the GPU's other users."""
    import torch

    from instascene_ros.core.replay import Replayed

    Replayed.forget_all()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):  # only glibc holds freed memory back, and only it can be asked
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def gpu_mb() -> float:
    """GPU memory held by torch, 0 without one."""
    import torch

    return torch.cuda.memory_reserved() / 2**20 if torch.cuda.is_available() else 0.0
