"""The words that tell a user what is missing."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("instascene_ros.srv", reason="the interfaces are not built: make test builds them")

from std_msgs.msg import Header

from instascene_ros.adapters.counters import SceneCounters
from instascene_ros.adapters.health import SceneHealth, Tally
from instascene_ros.adapters.health_messages import diagnostics_message, status_message
from instascene_ros.adapters.inputs import InputMonitor
from instascene_ros.adapters.intake import CameraIntake, IntakeHooks
from instascene_ros.adapters.logs import ThrottledLog
from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.adapters.poses import PoseBuffer, TopicPoses
from instascene_ros.adapters.rate_gate import RateGate
from instascene_ros.adapters.worker import SceneWorker
from instascene_ros.msg import MapStatus


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def monitor(clock: Clock) -> InputMonitor:
    return InputMonitor("/robot/camera/depth/image", required=True, clock_s=clock)


def test_monitor_tells_missing_from_silent_from_flowing() -> None:
    clock = Clock()
    depth = monitor(clock)
    assert "no publisher" in depth.problem(publishers=0)
    assert depth.problem(publishers=1) == "publisher found, nothing received yet"
    for _ in range(11):
        clock.now_s += 0.1
        depth.note(stamp_ns=5_000_000_000)
    assert depth.problem(publishers=1) == ""
    assert depth.rate_hz == pytest.approx(10)
    assert depth.describe(publishers=1) == "/robot/camera/depth/image: 10.0 Hz, last stamp 5.000 s"
    clock.now_s += 7
    assert depth.problem(publishers=1) == "silent for 7 s"
    assert depth.rate_hz == 0
    assert "no publisher" in depth.problem(publishers=0)


def test_monitor_blames_stamps_only_while_all_of_them_are_bad() -> None:
    depth = monitor(clock := Clock())
    depth.note_bad_stamp()
    assert "1 messages without a usable header.stamp" in depth.problem(publishers=1)
    depth.note(stamp_ns=5)
    clock.now_s += 7
    assert depth.problem(publishers=1) == "silent for 7 s"
    depth.note_bad_stamp()
    depth.note_bad_stamp()
    assert "2 messages without a usable header.stamp" in depth.problem(publishers=1)


def test_monitor_names_a_qos_mismatch_while_nothing_comes() -> None:
    depth = monitor(Clock())
    depth.qos_problem = "its RELIABILITY does not fit"
    assert depth.problem(publishers=1) == "its RELIABILITY does not fit"
    depth.note(0)
    assert depth.problem(publishers=1) == ""


class FakeInputs:
    def __init__(self) -> None:
        self.clock, self.bad_poses, self.found = Clock(), 3, 1
        self.monitors = [monitor(self.clock)]
        hooks = IntakeHooks(*[lambda *_: ()] * 5)
        self.intakes = [CameraIntake("camera", SceneNodeConfig(), TopicPoses("odom", PoseBuffer(1, 1)), hooks)]

    def publishers(self, topic: str) -> int:
        return self.found


def health() -> tuple[SceneHealth, FakeInputs]:
    inputs = FakeInputs()
    worker: SceneWorker = SceneWorker(lambda _: None, lambda _: None)
    return SceneHealth(inputs, SceneCounters(map_id="m"), worker), inputs


NOTHING = Tally(0, 0, 0, 0, 0, 0, 0)


def tally(**counts: int) -> Tally:
    return Tally(**{**vars(NOTHING), **counts})


def test_waiting_names_the_first_thing_that_is_missing() -> None:
    doctor, inputs = health()
    inputs.found = 0
    assert "/robot/camera/depth/image: no publisher" in doctor.waiting_for(NOTHING)
    inputs.found = 1
    inputs.monitors[0].note(0)
    assert doctor.waiting_for(NOTHING) == ""
    doctor.counters.last_invalid = "camera/depth/image: no pixel has depth"
    assert doctor.waiting_for(tally(invalid=2)) == "frames cannot be used: camera/depth/image: no pixel has depth"
    inputs.intakes[0].last_no_pose = "no pose as new as the image"
    assert "poses at the image stamps: camera: no pose as new as the image" in doctor.waiting_for(tally(no_pose=2))
    inputs.intakes[0].sync.misses["depth/image"] = 4
    assert "sync.slop_s): camera/depth/image missing for 4" in doctor.waiting_for(tally(unmatched=4))
    assert doctor.waiting_for(tally(integrated=1, invalid=5)) == ""


def test_log_lines_hold_the_reason_every_input_and_the_tally() -> None:
    doctor, _ = health()
    reason, depth, frames = doctor.describe(NOTHING, tally(received=9, stale=2))
    assert reason == "waiting for inputs"
    assert "nothing received yet" in depth
    assert "9 received" in frames and "2 stale or repeated" in frames and "3 bad poses" in frames


@pytest.mark.parametrize(
    ("idle", "recent", "state"),
    [
        ("", tally(integrated=1), MapStatus.STATE_MAPPING),
        ("", NOTHING, MapStatus.STATE_WAITING),
        ("", tally(invalid=1), MapStatus.STATE_ERROR),
        ("paused: go on with", tally(integrated=1), MapStatus.STATE_PAUSED),
    ],
)
def test_state_of_the_map(idle: str, recent: Tally, state: int) -> None:
    doctor, inputs = health()
    if recent.invalid:
        inputs.monitors[0].note(0)
        doctor.counters.last_invalid = "wrong"
    status = status_message(doctor, Header(frame_id="odom"), idle, recent)
    assert status.state == state and status.map_id == "m" and status.memory_mb > 1
    assert (status.message == "") == (state == MapStatus.STATE_MAPPING)


def test_diagnostics_have_a_line_for_each_input_and_one_for_the_mapping() -> None:
    doctor, inputs = health()
    status = status_message(doctor, Header(), "", NOTHING)
    mapping, depth = diagnostics_message(doctor, "/robot/scene", status, Header()).status
    assert (mapping.name, mapping.level) == ("/robot/scene: mapping", b"\x01")
    assert (depth.name, depth.level) == ("/robot/scene: /robot/camera/depth/image", b"\x01")
    assert {value.key: value.value for value in mapping.values}["bad_poses"] == "3"
    inputs.monitors[0].qos_problem = "misfit"
    assert diagnostics_message(doctor, "/robot/scene", status, Header()).status[1].level == b"\x02"


def test_repeated_warnings_are_held_back_and_counted() -> None:
    lines, clock = [], Clock()
    log = ThrottledLog(lines.append, period_s=5.0, clock_s=clock)
    for _ in range(3):
        log("key", "trouble")
    log("other", "more")
    clock.now_s += 5
    log("key", "trouble")
    assert lines == ["trouble", "more", "trouble (2 more like this)"]


def test_rate_gate_holds_back_and_forgets_nothing() -> None:
    clock = Clock()
    gate = RateGate(2.0, clock)
    assert not gate.take()
    gate.owe()
    assert gate.take() and not gate.take()
    gate.owe()
    assert not gate.take()
    clock.now_s += 0.5
    assert gate.take()


def test_rate_of_zero_is_off() -> None:
    gate = RateGate(0.0, Clock())
    gate.owe()
    assert not gate.take()


def test_memory_of_this_process_is_plausible() -> None:
    from instascene_ros.adapters.counters import resident_mb

    assert 20 < resident_mb() < 100_000


def test_long_frame_is_called_busy_and_not_waiting() -> None:
    doctor, inputs = health()
    inputs.found = 0
    doctor._worker.busy = True
    assert doctor.waiting_for(NOTHING) == "busy with a frame"
    assert status_message(doctor, Header(), "", NOTHING).state == MapStatus.STATE_MAPPING
