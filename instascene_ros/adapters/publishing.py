"""Publishers made from the table of topics, so that the table cannot say anything else than the nodes do."""

from importlib import import_module

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile

from instascene_ros.adapters.qos import latched_qos
from instascene_ros.core.topics import Topic


def publisher(node: Node, topic: Topic) -> Publisher:
    """A publisher of the topic's type and quality of service, in the node's namespace."""
    package, kind, name = topic.type.split("/")
    message = getattr(import_module(f"{package}.{kind}"), name)
    qos = latched_qos(topic.depth) if topic.latched else QoSProfile(depth=topic.depth)
    return node.create_publisher(message, topic.name, qos)
