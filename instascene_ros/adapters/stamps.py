"""ROS stamps <-> nanoseconds, ROS durations <-> seconds."""

from builtin_interfaces.msg import Duration, Time

SECOND_NS = 1_000_000_000


def is_stamp(stamp: Time) -> bool:
    """A time after the start of its clock. 0 means that nobody set it, the rest that the message is corrupt."""
    return stamp.sec >= 0 and stamp.nanosec < SECOND_NS and (stamp.sec > 0 or stamp.nanosec > 0)


def ns_of_stamp(stamp: Time) -> int:
    return stamp.sec * SECOND_NS + stamp.nanosec


def stamp_of_ns(stamp_ns: int) -> Time:
    sec, nanosec = divmod(int(stamp_ns), SECOND_NS)
    return Time(sec=sec, nanosec=nanosec)


def ns_of_s(seconds: float) -> int:
    return round(seconds * 1e9)


def s_of_duration(duration: Duration) -> float:
    return duration.sec + duration.nanosec * 1e-9


def duration_of_s(seconds: float) -> Duration:
    sec, nanosec = divmod(ns_of_s(seconds), SECOND_NS)
    return Duration(sec=sec, nanosec=nanosec)
