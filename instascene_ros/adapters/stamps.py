"""ROS stamps <-> nanoseconds."""

from builtin_interfaces.msg import Time

SECOND_NS = 1_000_000_000


def ns_of_stamp(stamp: Time) -> int:
    return stamp.sec * SECOND_NS + stamp.nanosec


def stamp_of_ns(stamp_ns: int) -> Time:
    sec, nanosec = divmod(int(stamp_ns), SECOND_NS)
    return Time(sec=sec, nanosec=nanosec)


def ns_of_s(seconds: float) -> int:
    return round(seconds * 1e9)
