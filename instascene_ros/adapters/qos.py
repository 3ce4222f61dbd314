"""Quality-of-service profiles by name, as isaac_ros_common spells them."""

from rclpy.qos import DurabilityPolicy, QoSPresetProfiles, QoSProfile, ReliabilityPolicy


def input_qos(name: str) -> QoSProfile:
    """Profile of a subscription, one of node_config.INPUT_PROFILES. SENSOR_DATA (best effort) hears every publisher."""
    return QoSPresetProfiles[name].value


def latched_qos(depth: int = 1) -> QoSProfile:
    """Reliable, and kept for subscribers that come later."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
