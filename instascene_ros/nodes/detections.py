"""Node `detections`: the instances as vision_msgs/Detection3DArray, and their classes as a latched LabelInfo."""

import sys

from rclpy.node import Node

from instascene_ros.adapters.adapter_configs import DetectionsNodeConfig
from instascene_ros.adapters.detection_messages import ClassNumbers, detections_message
from instascene_ros.adapters.optional_messages import messages_of
from instascene_ros.adapters.parameters import declare
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.spinning import run
from instascene_ros.msg import InstanceArray


class DetectionsNode(Node):
    """One message for each list of instances."""

    crash: BaseException | None = None

    def __init__(self) -> None:
        super().__init__("detections", namespace="instascene")
        self._config = declare(self, DetectionsNodeConfig)
        self._msg = messages_of("vision_msgs", "msg", "detections")
        self._numbers, self._published = ClassNumbers(self._config.unlabelled), 0
        self._detections = self.create_publisher(self._msg.Detection3DArray, "detections", latched_qos())
        self._labels = self.create_publisher(self._msg.LabelInfo, "detections/label_info", latched_qos())
        self.create_subscription(InstanceArray, "instances", self._on_instances, latched_qos())

    def close(self) -> None:
        """Nothing to stop."""

    def _on_instances(self, array: InstanceArray) -> None:
        message = detections_message(self._msg, array, self._numbers, self._config.min_confidence)
        if len(self._numbers) != self._published:  # first, so that whoever hears a number can look it up
            self._published = len(self._numbers)
            self._labels.publish(self._numbers.label_info(self._msg, array.header, self._config.min_confidence))
        self._detections.publish(message)


def main() -> None:
    """Run the node until Ctrl-C."""
    sys.exit(run(DetectionsNode, num_threads=1))


if __name__ == "__main__":
    main()
