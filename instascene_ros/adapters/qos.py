"""Quality-of-service profiles by name, as isaac_ros_common spells them."""

from copy import copy

from rclpy.qos import DurabilityPolicy, QoSPresetProfiles, QoSProfile, ReliabilityPolicy


def input_qos(name: str, depth: int) -> QoSProfile:
    """One of node_config.INPUT_PROFILES but AUTO, with a queue of `depth` for while Python is busy.

    SENSOR_DATA (best effort) hears every publisher.
    """
    profile = copy(QoSPresetProfiles[name].value)
    profile.depth = depth
    return profile


def latched_qos(depth: int = 1) -> QoSProfile:
    """Reliable, and kept for subscribers that come later."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
