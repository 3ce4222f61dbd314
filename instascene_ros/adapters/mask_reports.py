"""What the segmentation node says of itself: diagnostics every second, and a log line when no masks leave it."""

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from instascene_ros.adapters.health_messages import key_values
from instascene_ros.adapters.inputs import InputMonitor
from instascene_ros.adapters.mask_session import MaskSession

PUMP_PERIOD_S, REPORT_PERIOD_S = 0.2, 1.0


class MaskReports:
    """Lives as long as the session. Its timers run by the machine's clock: /clock may stand still or be missing."""

    def __init__(self, node: Node, session: MaskSession) -> None:
        self._node, self._session = node, session
        # The one absolute name that is published (REP-107).
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._reported = self._watched = (0, 0)
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        periods = {
            self._pump: PUMP_PERIOD_S,
            self._report: REPORT_PERIOD_S,
            self._watch: session.config.watchdog_period_s,
        }
        self._timers = [node.create_timer(s, act, clock=clock) for act, s in periods.items() if s > 0]

    def close(self) -> None:
        """Say nothing more."""
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._node.destroy_publisher(self._diagnostics)

    def _pump(self) -> None:
        if self._session.is_open:
            self._session.pump()

    def _report(self) -> None:
        counters = self._session.counters
        complaint = self._complaint(*self._reported)
        self._reported = (counters.segmented, counters.invalid)
        name = self._node.get_fully_qualified_name()
        array = DiagnosticArray(status=[self._own_status(name, complaint), *map(self._input_status, self._monitors())])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _watch(self) -> None:
        counters = self._session.counters
        complaint = self._complaint(*self._watched)
        self._watched = (counters.segmented, counters.invalid)
        if complaint and self._session.is_open:
            self._node.get_logger().warning(complaint)

    def _complaint(self, segmented_before: int, invalid_before: int) -> str:
        """Why no image was segmented since then; empty when some were, or one is at work."""
        counters = self._session.counters
        if not self._session.is_open:
            return f"inactive: ros2 lifecycle set {self._node.get_fully_qualified_name()} activate"
        if counters.segmented > segmented_before or self._session.worker.busy:
            return ""
        problems = [f"{m.topic}: {problem}" for m in self._monitors() if (problem := self._problem(m))]
        if problems:
            return "waiting for " + "; ".join(problems)
        if counters.invalid > invalid_before:
            return f"images cannot be used: {counters.last_invalid}"
        if any(i.sync.unmatched for i in self._session.intakes):
            return "waiting for depth whose stamps fit colour (sync.slop_s)"
        return ""

    def _monitors(self) -> list[InputMonitor]:
        return self._session.monitors

    def _problem(self, monitor: InputMonitor) -> str:
        return monitor.problem(self._node.count_publishers(monitor.topic))

    def _own_status(self, name: str, complaint: str) -> DiagnosticStatus:
        session, counters = self._session, self._session.counters
        intakes = session.intakes
        return DiagnosticStatus(
            level=DiagnosticStatus.WARN if complaint and session.is_open else DiagnosticStatus.OK,
            name=f"{name}: {session.config.segmenter}", message=complaint or "ok",
            values=key_values(
                received=sum(i.received for i in intakes), segmented=counters.segmented,
                dropped_busy=session.worker.dropped, dropped_rate=sum(i.dropped_rate for i in intakes),
                dropped_invalid=counters.invalid, dropped_no_info=sum(i.dropped_no_info for i in intakes),
                unmatched=sum(i.sync.unmatched for i in intakes), masks=counters.num_masks,
                segment_ms=f"{1000 * counters.segment_s:.1f}", last_invalid=counters.last_invalid or "none",
            ),
        )  # fmt: skip

    def _input_status(self, monitor: InputMonitor) -> DiagnosticStatus:
        problem = self._problem(monitor) if self._session.is_open else ""
        level = DiagnosticStatus.ERROR if monitor.qos_problem else DiagnosticStatus.WARN
        return DiagnosticStatus(
            level=level if problem else DiagnosticStatus.OK,
            name=f"{self._node.get_fully_qualified_name()}: {monitor.topic}", message=problem or "ok",
            values=key_values(received=monitor.received, rate_hz=f"{monitor.rate_hz:.1f}"),
        )  # fmt: skip
