"""One input topic of a node: its subscription, its monitor, and a quality of service that hears every publisher."""

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instascene_ros.adapters.inputs import InputMonitor
from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.adapters.qos import input_qos
from instascene_ros.adapters.stamps import is_stamp, ns_of_stamp


class InputSubscription:
    """Notes and stores every message.

    With the profile AUTO it starts reliable, because best effort loses much of large images on a busy machine, and
    turns to best effort when a publisher shows up that offers no more.
    """

    def __init__(
        self, node: Node, config: SceneNodeConfig, kind: type, name: str, store: Callable[[Any], None], required: bool
    ) -> None:
        self.monitor = InputMonitor(node.resolve_topic_name(name), required)
        self._node, self._kind, self._name, self._store = node, kind, name, store
        self._profile, self._misfit = config.input_qos, False
        # Poses come far more often than images.
        self._depth = config.sync.queue_size * (1 if kind in (Image, CompressedImage, CameraInfo) else 10)
        self._subscription: Any = None

    def open(self) -> None:
        """Subscribe."""
        self._misfit, self.monitor.qos_problem = False, ""
        self._subscription = self._subscribe("DEFAULT" if self._profile == "AUTO" else self._profile)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)
        self._subscription = None

    def adapt(self) -> None:
        """Turn to best effort where that is called for; not from the event, which belongs to the subscription."""
        if self._misfit and self._profile == "AUTO":
            self._misfit = False
            self._node.destroy_subscription(self._subscription)
            self._subscription = self._subscribe("SENSOR_DATA")
            self._node.get_logger().info(f"{self.monitor.topic}: its publisher is best effort, so images may be lost")

    def _subscribe(self, profile: str) -> Any:
        # An override is remembered by topic, so it would bring the first choice of AUTO back.
        overridable = None if self._profile == "AUTO" else QoSOverridingOptions.with_default_policies()
        return self._node.create_subscription(
            self._kind, self._name, self._received, input_qos(profile, self._depth),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._note_misfit),
            qos_overriding_options=overridable,
        )  # fmt: skip

    def _received(self, message: Any) -> None:
        if not is_stamp(message.header.stamp):
            self.monitor.note_bad_stamp()
            return
        self.monitor.note(ns_of_stamp(message.header.stamp))
        self._store(message)

    def _note_misfit(self, event: QoSRequestedIncompatibleQoSInfo) -> None:
        self._misfit = True
        if self._profile == "AUTO":
            return
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self.monitor.qos_problem = (
            f"publisher found, but its {policy} does not fit input_qos {self._profile}: "
            "set input_qos: SENSOR_DATA or AUTO, which hear every publisher"
        )
        self._node.get_logger().error(f"{self.monitor.topic}: {self.monitor.qos_problem}")
