"""What the scene node says of itself: status and diagnostics every second, and a log line when nothing moves."""

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from instascene_ros.adapters.health import SceneHealth
from instascene_ros.adapters.health_messages import diagnostics_message, status_message
from instascene_ros.adapters.scene_session import SceneSession
from instascene_ros.msg import MapStatus

PUMP_PERIOD_S, TF_PUMP_PERIOD_S, STATUS_PERIOD_S = 0.2, 0.02, 1.0  # tf2's Python part does not say when news came


class SceneReports:
    """Lives as long as the session. Its timers run by the machine's clock: /clock may stand still or be missing."""

    def __init__(self, node: Node, session: SceneSession) -> None:
        self._node, self._session = node, session
        self._health = SceneHealth(session.inputs, session.owner.counters, session.worker)
        self._status = node.create_publisher(MapStatus, "status", 1)
        # The one absolute name that is published (REP-107).
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._reported, self._watched = self._health.tally(), self._health.tally()
        config, clock = session.config, Clock(clock_type=ClockType.STEADY_TIME)
        pump_s = TF_PUMP_PERIOD_S if config.pose_source == "tf" else PUMP_PERIOD_S
        periods = {self._pump: pump_s, self._report: STATUS_PERIOD_S, self._watch: config.watchdog_period_s}
        self._timers = [node.create_timer(s, act, clock=clock) for act, s in periods.items() if s > 0]

    def close(self) -> None:
        """Say nothing more."""
        for timer in self._timers:
            self._node.destroy_timer(timer)
        for publisher in (self._status, self._diagnostics):
            self._node.destroy_publisher(publisher)

    def _idle(self) -> str:
        """Why nothing is mapped although nothing is missing."""
        if not self._session.is_open:
            return f"inactive: ros2 lifecycle set {self._node.get_fully_qualified_name()} activate"
        return "paused: call the service pause with data: false to go on" if self._session.paused else ""

    def _pump(self) -> None:
        if self._session.is_open:
            self._session.inputs.pump()

    def _report(self) -> None:
        now = self._health.tally()
        recent, self._reported = now.since(self._reported), now
        header = self._session.outputs.header
        status = status_message(self._health, header, self._idle(), recent)
        self._status.publish(status)
        header.stamp = self._node.get_clock().now().to_msg()
        name = self._node.get_fully_qualified_name()
        self._diagnostics.publish(diagnostics_message(self._health, name, status, header))
        self._session.worker.post(self._session.owner.flush)

    def _watch(self) -> None:
        """Say what is missing; say nothing while frames are integrated."""
        now = self._health.tally()
        recent, self._watched = now.since(self._watched), now
        if recent.integrated == 0 and not self._idle():
            lines = [*self._health.describe(recent, now), *self._clock_lines()]
            self._node.get_logger().warning("\n  ".join(lines))

    def _clock_lines(self) -> list[str]:
        if self._node.get_parameter("use_sim_time").value and not self._node.get_clock().now().nanoseconds:
            return ["use_sim_time is true but /clock has not come: is it published (`ros2 bag play --clock`)?"]
        return []
