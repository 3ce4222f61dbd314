"""How the scene node is doing, in words and figures: what the watchdog, the status and the diagnostics say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from instascene_ros.adapters.counters import SceneCounters
from instascene_ros.adapters.inputs import InputMonitor
from instascene_ros.adapters.intake import CameraIntake
from instascene_ros.adapters.worker import SceneWorker


@dataclass(frozen=True)
class Tally:
    """What became of the frames so far. Differences of two tallies tell what is going on now."""

    received: int
    integrated: int
    busy: int
    no_pose: int
    stale: int
    invalid: int
    unmatched: int  # no depth (or masks) within the slop

    def since(self, earlier: "Tally") -> "Tally":
        pairs = zip(vars(self).values(), vars(earlier).values(), strict=True)
        return Tally(*(now - before for now, before in pairs))


@runtime_checkable
class Inputs(Protocol):
    """What there is to know of the subscriptions."""

    monitors: Sequence[InputMonitor]
    intakes: Sequence[CameraIntake]
    bad_poses: int  # pose messages that could not be used

    def publishers(self, topic: str) -> int: ...


class SceneHealth:
    """Collects from everything that counts. Reads only, from the executor's thread."""

    def __init__(self, inputs: Inputs, counters: SceneCounters, worker: SceneWorker) -> None:
        self._inputs, self.counters, self._worker = inputs, counters, worker
        self.monitors, self.intakes = inputs.monitors, inputs.intakes

    def tally(self) -> Tally:
        """All cameras together."""
        intakes = self.intakes
        return Tally(
            received=sum(i.received for i in intakes),
            integrated=self.counters.frames_integrated,
            busy=self._worker.dropped,
            no_pose=sum(i.dropped_no_pose for i in intakes),
            stale=sum(i.sync.stale + i.sync.duplicates for i in intakes),
            invalid=self.counters.dropped_invalid + sum(i.dropped_no_info for i in intakes),
            unmatched=sum(i.sync.unmatched for i in intakes),
        )

    def problems(self) -> list[str]:
        """Required inputs that do not flow."""
        found = [(m.topic, m.problem(self._inputs.publishers(m.topic))) for m in self.monitors if m.required]
        return [f"{topic}: {problem}" for topic, problem in found if problem]

    def waiting_for(self, recent: Tally) -> str:
        """Why nothing was integrated lately; empty when frames were, or none came and none are due."""
        if recent.integrated:
            return ""
        if self._worker.busy:
            return "busy with a frame"
        problems = self.problems()
        if problems:
            return "waiting for " + "; ".join(problems)
        if recent.invalid:
            return f"frames cannot be used: {self._last_invalid()}"
        if recent.no_pose:
            return f"waiting for poses at the image stamps: {self.last_no_pose()}"
        if recent.unmatched:
            return f"waiting for messages whose stamps fit colour (sync.slop_s): {self.misses()}"
        return ""

    def complaint(self, recent: Tally) -> str:
        """What the status says: why nothing moves, or what was wrong with the frames that were dropped lately."""
        dropped = f"{recent.invalid} frames dropped: {self._last_invalid()}" if recent.invalid else ""
        return self.waiting_for(recent) or dropped

    def _last_invalid(self) -> str:
        return self.counters.last_invalid or "camera_info has not been received"

    def misses(self) -> str:
        """Which partners were missing, how often."""
        return ", ".join(
            f"{i.camera}/{stream} missing for {count}"
            for i in self.intakes
            for stream, count in i.sync.misses.items()
            if count
        )

    def last_no_pose(self) -> str:
        """Why the last frames without a pose had none."""
        return "; ".join(f"{i.camera}: {i.last_no_pose}" for i in self.intakes if i.last_no_pose)

    def describe(self, recent: Tally, total: Tally) -> list[str]:
        """What the log says when nothing moves: the reason, one line for each input, and the tally."""
        reason = self.waiting_for(recent) or "no new frames"
        if reason.startswith("waiting for /"):
            reason = "waiting for inputs"  # the lines that follow say more
        return [reason, *self._describe_inputs(), self._describe_frames(total)]

    def _describe_inputs(self) -> list[str]:
        return [
            m.describe(self._inputs.publishers(m.topic))
            for m in self.monitors
            if m.required or m.received or m.qos_problem
        ]

    def problem_of(self, monitor: InputMonitor) -> str:
        return monitor.problem(self._inputs.publishers(monitor.topic))

    @property
    def busy(self) -> bool:
        return self._worker.busy

    @property
    def bad_poses(self) -> int:
        return self._inputs.bad_poses

    def _describe_frames(self, tally: Tally) -> str:
        """The tally as one line."""
        time_jumps, pose_jumps = sum(i.sync.time_jumps for i in self.intakes), sum(i.pose_jumps for i in self.intakes)
        return (
            f"frames: {tally.received} received, {tally.integrated} integrated, dropped {tally.busy} busy, "
            f"{tally.no_pose} without pose, {tally.stale} stale or repeated, {tally.invalid} invalid, "
            f"{tally.unmatched} unmatched; {self.bad_poses} bad poses, {pose_jumps} pose jumps, {time_jumps} time jumps"
        )
