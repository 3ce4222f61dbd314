"""Quality-of-service profiles by name, as isaac_ros_common spells them."""

from rclpy.qos import DurabilityPolicy, QoSPresetProfiles, QoSProfile, ReliabilityPolicy

INPUT_PROFILES = ("SENSOR_DATA", "SYSTEM_DEFAULT", "DEFAULT")


def input_qos(name: str) -> QoSProfile:
    """Profile of a subscription. SENSOR_DATA (best effort) hears every publisher.

    Raises:
        ValueError: not one of INPUT_PROFILES.
    """
    if name not in INPUT_PROFILES:
        raise ValueError(f"input_qos is {name!r}; expected one of {', '.join(INPUT_PROFILES)}")
    return QoSPresetProfiles[name].value


def latched_qos(depth: int = 1) -> QoSProfile:
    """Reliable, and kept for subscribers that come later."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
