"""A client that subscribes to everything large, reliably. As a process: `python -m deaf_subscriber`."""

import rclpy
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from instascene_ros.msg import InstanceArray

TOPICS = {
    "instances": InstanceArray,
    "instances/points": PointCloud2,
    "instances/markers": MarkerArray,
    "map/points": PointCloud2,
}


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("deaf", namespace="/instascene")
    qos = QoSProfile(
        history=HistoryPolicy.KEEP_ALL, depth=1, reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )  # fmt: skip
    heard: list[object] = []
    for topic, kind in TOPICS.items():
        node.create_subscription(kind, topic, heard.append, qos)
    while not node.count_publishers("instances"):
        rclpy.spin_once(node, timeout_sec=0.1)
    print("listening", flush=True)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
