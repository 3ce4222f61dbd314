"""When recorded frames are due; stamps in ms, clock in ms."""

from dataclasses import dataclass

import numpy as np
import pytest

from instascene_ros.adapters.playback import Playback, played_frames
from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame

MS = 1_000_000


@dataclass(frozen=True)
class FiveFrames:
    """Frames at 1000, 1100 ... 1400 ms."""

    name: str = "five"
    frame_rate_hz: float = 10.0

    def __len__(self) -> int:
        return 5

    def frame(self, index: int) -> Frame:
        rgb, depth_m = np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), np.float32)
        return Frame((1000 + 100 * index) * MS, Camera(1, 1, 0, 0, 1, 1), rgb, depth_m, np.eye(4))


def offsets_ms(first: int, count: int) -> list[int]:
    return [played.offset_ns // MS for played in played_frames(FiveFrames(), first, count, loop=False)]


def test_range_of_frames() -> None:
    assert offsets_ms(0, 0) == [0, 100, 200, 300, 400]
    assert offsets_ms(1, 2) == [0, 100]
    assert offsets_ms(3, 99) == [0, 100]


def test_empty_range_is_refused() -> None:
    with pytest.raises(InvalidSceneError, match="five has 5 frames; nothing to play from frame 5 on"):
        offsets_ms(5, 0)


def test_loop_goes_on_counting() -> None:
    frames = played_frames(FiveFrames(), 3, 2, loop=True)
    assert [next(frames).offset_ns // MS for _ in range(5)] == [0, 100, 200, 300, 400]


def playback(rate: float = 1.0) -> Playback:
    return Playback(played_frames(FiveFrames(), 0, 0, loop=False), rate)


def taken(player: Playback, now_ms: int) -> int | None:
    """Offset of the frame that is due, ms."""
    played = player.take(now_ms * MS)
    return None if played is None else played.offset_ns // MS


def test_frames_come_when_they_are_due() -> None:
    player = playback()
    assert [taken(player, t) for t in (5000, 5099, 5100, 5150, 5200)] == [0, None, 100, None, 200]


def test_rate_scales_the_waiting() -> None:
    player = playback(rate=2.0)
    assert [taken(player, t) for t in (5000, 5049, 5050)] == [0, None, 100]
    assert player.offset_ns(5075 * MS) == 150 * MS


def test_late_frames_are_caught_up_with_their_own_due_times() -> None:
    player = playback()
    taken(player, 5000)
    first, second = player.take(5250 * MS), player.take(5251 * MS)
    assert [player.due_ns(played) // MS for played in (first, second)] == [5100, 5200]
    assert player.take(5252 * MS) is None


def test_pause_stops_the_time_of_the_recording() -> None:
    player = playback()
    assert taken(player, 5000) == 0
    player.pause(True, 5050 * MS)
    assert taken(player, 7000) is None
    assert player.offset_ns(7000 * MS) == 50 * MS
    player.pause(False, 8050 * MS)
    assert [taken(player, t) for t in (8099, 8100)] == [None, 100]


def test_start_paused() -> None:
    player = playback()
    player.pause(True, 0)
    assert taken(player, 100) is None
    player.pause(False, 9000 * MS)
    assert taken(player, 9000) == 0


def test_end_is_known() -> None:
    player = playback()
    for now_ms in range(5000, 5401, 100):
        assert not player.finished
        taken(player, now_ms)
    assert player.finished and player.played == 5
    assert taken(player, 9999) is None


def test_a_frame_that_is_due_does_not_wait_for_the_next_one_to_be_decoded() -> None:
    decoded = []

    class Noted(FiveFrames):
        def frame(self, index: int) -> Frame:
            decoded.append(index)
            return super().frame(index)

    player = Playback(played_frames(Noted(), 0, 0, loop=False), rate=1.0)
    assert taken(player, 0) == 0
    assert decoded == [0]
    player.read_ahead()
    player.read_ahead()
    assert decoded == [0, 1]
    assert [taken(player, ms) for ms in (100, 200)] == [100, 200]  # one that was not read ahead comes all the same
