"""Which messages belong together, told by stamps in ms."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from instascene_ros.adapters.synchroniser import Synchroniser

MS = 1_000_000


class Clocked:
    """A synchroniser of colour and depth (and masks) whose messages are named by stream and stamp."""

    def __init__(self, queue_size: int = 10) -> None:
        self.sync = Synchroniser("color", 20 * MS, queue_size, wait_ns=500 * MS, jump_back_ns=1000 * MS)
        self.now_ms = 0

    def add(self, stream: str, *stamps_ms: int) -> None:
        for stamp_ms in stamps_ms:
            self.sync.add(stream, stamp_ms * MS, f"{stream}{stamp_ms}", self.now_ms * MS)

    def take(self, *partners: str) -> list[tuple[str, ...]]:
        sets = self.sync.take(partners or ("depth",), self.now_ms * MS)
        return [tuple(matched.messages.values()) for matched in sets]


def test_equal_stamps_match_at_once() -> None:
    c = Clocked()
    c.add("color", 100)
    assert c.take() == []
    c.add("depth", 100)
    assert c.take() == [("color100", "depth100")]
    assert c.take() == []


def test_order_of_arrival_does_not_matter() -> None:
    c = Clocked()
    c.add("depth", 100, 133)
    c.add("color", 100, 133)
    assert c.take() == [("color100", "depth100"), ("color133", "depth133")]


def test_equal_stamp_is_preferred_to_an_earlier_arrival() -> None:
    c = Clocked()
    c.add("color", 100)
    c.add("depth", 95)
    assert c.take() == []  # the exact one may still come
    c.add("depth", 100)
    assert c.take() == [("color100", "depth100")]


def test_nearest_within_the_slop_once_the_stream_has_moved_on() -> None:
    c = Clocked()
    c.add("color", 100)
    c.add("depth", 85, 108)
    assert c.take() == [("color100", "depth108")]


def test_nearest_within_the_slop_after_waiting() -> None:
    c = Clocked()
    c.add("color", 100)
    c.add("depth", 85)
    c.now_ms = 499
    assert c.take() == []
    c.now_ms = 500
    assert c.take() == [("color100", "depth85")]


def test_partner_outside_the_slop_is_a_counted_miss() -> None:
    c = Clocked()
    c.add("color", 100, 200)
    c.add("depth", 79, 121, 200)
    assert c.take() == [("color200", "depth200")]
    assert c.sync.misses == {"depth": 1}


def test_partner_that_fits_another_image_exactly_is_left_to_it() -> None:
    c = Clocked()
    c.add("color", 100, 110)
    c.add("depth", 110, 130)
    assert c.take() == [("color110", "depth110")]
    assert c.sync.misses == {"depth": 1}


def test_partner_is_used_once() -> None:
    c = Clocked()
    c.add("color", 100, 110)
    c.add("depth", 105, 140)
    assert c.take() == [("color100", "depth105")]
    assert c.sync.misses == {"depth": 1}


def test_waits_for_masks_as_long_as_they_are_asked_for() -> None:
    c = Clocked()
    c.add("color", 100, 133)
    c.add("depth", 100, 133)
    assert c.take("depth", "masks") == []
    c.add("masks", 100)
    assert c.take("depth", "masks") == [("color100", "depth100", "masks100")]
    assert c.take("depth") == [("color133", "depth133")]  # masks are no longer published


def test_image_whose_masks_were_skipped_is_dropped_when_later_masks_come() -> None:
    c = Clocked()
    c.add("color", 100, 133, 166)
    c.add("depth", 100, 133, 166)
    c.add("masks", 166)
    assert c.take("depth", "masks") == [("color166", "depth166", "masks166")]
    assert c.sync.misses == {"masks": 2}


def test_wait_for_masks_is_bounded() -> None:
    c = Clocked()
    c.add("color", 100)
    c.add("depth", 100)
    c.now_ms = 500
    assert c.take("depth", "masks") == []
    assert c.sync.misses == {"masks": 1}


def test_queues_are_bounded_and_overflow_is_counted() -> None:
    c = Clocked(queue_size=3)
    c.add("color", *range(0, 1000, 100))
    c.add("depth", *range(0, 1000, 100))
    assert c.take() == [(f"color{t}", f"depth{t}") for t in (700, 800, 900)]
    assert c.sync.misses == {"overflow": 7}


def test_repeated_stamps_are_counted_and_dropped() -> None:
    c = Clocked()
    c.add("color", 100, 100)
    c.add("depth", 100, 100)
    assert c.take() == [("color100", "depth100")]
    c.add("color", 100)
    c.add("depth", 100)
    assert c.take() == []
    assert c.sync.duplicates == 3


def test_image_older_than_the_last_one_is_stale() -> None:
    c = Clocked()
    c.add("color", 200)
    c.add("depth", 200)
    assert len(c.take()) == 1
    c.add("color", 150)
    c.add("depth", 150)
    assert c.take() == []
    assert c.sync.stale == 1


def test_slightly_disordered_stream_is_sorted() -> None:
    c = Clocked()
    c.add("color", 133, 100)
    c.add("depth", 100, 133)
    assert c.take() == [("color100", "depth100"), ("color133", "depth133")]


def test_time_that_starts_over_clears_the_queues() -> None:
    c = Clocked()
    c.add("color", 9000, 9100)
    c.add("depth", 9000)
    assert len(c.take()) == 1
    assert c.sync.add("depth", 0, "depth0", 0) is False
    c.add("color", 0)
    assert c.take() == [("color0", "depth0")]
    assert c.sync.time_jumps == 1


def test_memory_is_bounded_when_one_stream_never_comes() -> None:
    c = Clocked(queue_size=5)
    c.add("depth", *range(0, 5000, 33))
    assert c.take() == []
    c.add("color", 4983)
    assert c.take() == [("color4983", "depth4983")]
