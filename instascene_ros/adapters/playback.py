"""When which recorded frame is due. Knows no ROS, so that time can be tested."""

from collections.abc import Iterator
from dataclasses import dataclass

from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.recording import Recording


@dataclass(frozen=True)
class PlayedFrame:
    """A recorded frame and how long after the first one it was taken; loops go on counting."""

    frame: Frame
    offset_ns: int


def played_frames(recording: Recording, first: int, count: int, loop: bool) -> Iterator[PlayedFrame]:
    """Frames `first` .. `first + count` (0 = to the end) in order; for ever with `loop`.

    Raises:
        InvalidSceneError: no frame in that range, or one that cannot be read.
    """
    end = min(len(recording), first + count) if count else len(recording)
    if first >= end:
        raise InvalidSceneError(f"{recording.name} has {len(recording)} frames; nothing to play from frame {first} on")
    period_ns = round(1e9 / recording.frame_rate_hz)
    lap_ns = 0
    while True:
        start_ns = None
        for index in range(first, end):
            frame = recording.frame(index)
            start_ns = frame.stamp_ns if start_ns is None else start_ns
            offset_ns = lap_ns + frame.stamp_ns - start_ns
            yield PlayedFrame(frame, offset_ns)
        if not loop:
            return
        lap_ns = offset_ns + period_ns


class Playback:
    """Hands out each frame when it is due. The clock is given with each call, and stands still while paused."""

    def __init__(self, frames: Iterator[PlayedFrame], rate: float) -> None:
        self._frames, self._rate = frames, rate
        self._next: PlayedFrame | None = None
        self.read_ahead()
        self._origin_ns: int | None = None  # clock at which offset 0 is due
        self._paused_at_ns: int | None = None
        self.played = 0

    @property
    def finished(self) -> bool:
        self.read_ahead()
        return self._next is None

    def read_ahead(self) -> None:
        """Decode the next frame before it is due: to be called when the last one is out, so that neither waits."""
        if self._next is None:
            self._next = next(self._frames, None)

    def pause(self, paused: bool, now_ns: int) -> None:
        """Stop the time of the recording, or let it go on where it stopped."""
        if paused and self._paused_at_ns is None:
            self._paused_at_ns = now_ns
        elif not paused and self._paused_at_ns is not None:
            if self._origin_ns is not None:
                self._origin_ns += now_ns - self._paused_at_ns
            self._paused_at_ns = None

    def offset_ns(self, now_ns: int) -> int:
        """Time of the recording since its first frame."""
        if self._origin_ns is None:
            return 0
        return round(((self._paused_at_ns or now_ns) - self._origin_ns) * self._rate)

    def due_ns(self, played: PlayedFrame) -> int:
        """Clock time at which a frame was or will be due."""
        return (self._origin_ns or 0) + round(played.offset_ns / self._rate)

    def take(self, now_ns: int) -> PlayedFrame | None:
        """The next frame when it is due; the first call starts the clock."""
        if self._paused_at_ns is not None or self.finished:
            return None
        self._origin_ns = now_ns if self._origin_ns is None else self._origin_ns
        if self._next.offset_ns > self.offset_ns(now_ns):
            return None
        played, self._next = self._next, None
        self.played += 1
        return played
