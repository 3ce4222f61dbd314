"""Managed nodes: states, what each state does, and parameters that change; over DDS, in processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import ROOT, Client, NodeProcess, client, node_process, require_ros, wait_until

require_ros()
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

from camera_driver import CameraDriver
from lifecycle_calls import ManagedClient
from std_srvs.srv import Trigger

from instascene_ros.adapters.completion_config import CompletionNodeConfig
from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.adapters.parameters import flatten
from instascene_ros.core.config import CompletionConfig, Config
from instascene_ros.msg import MapStatus
from instascene_ros.srv import CompleteObject, GetInstances

Codes = CompleteObject.Response
PARAMETERS = {"masks": "topic", "autostart": False}


@pytest.fixture(scope="module")
def ros() -> Iterator[Client]:
    with client() as running:
        yield running


@pytest.fixture(scope="module")
def node() -> Iterator[NodeProcess]:
    with node_process("fake_scene", PARAMETERS) as running:
        running.wait_for_output("waits to be configured")
        yield running


@pytest.fixture
def scene(ros: Client, node: NodeProcess) -> Iterator[ManagedClient]:
    """The scene node, unconfigured before and after."""
    managed = ManagedClient(ros, "scene")
    yield managed
    if managed.state == "active":
        assert managed.change("deactivate")
    if managed.state == "inactive":
        assert managed.change("cleanup")


def instances(ros: Client) -> GetInstances.Response:
    return ros.call(GetInstances, "get_instances", GetInstances.Request())


def subscribed(driver: CameraDriver) -> int:
    return driver.publishers["color"].get_subscription_count()


def test_each_state_does_what_it_says(ros: Client, scene: ManagedClient) -> None:
    driver = CameraDriver(ros)
    assert scene.state == "unconfigured"
    refused = instances(ros)
    assert refused.error_code == Codes.NO_MAP and "lifecycle set /instascene/scene configure" in refused.error_msg
    assert not ros.call(Trigger, "reset", Trigger.Request()).success
    assert scene.change("configure")
    wait_until(lambda: driver.statuses, 90, lambda: "a status")
    assert driver.status.state == MapStatus.STATE_PAUSED and "activate" in driver.status.message
    assert instances(ros).error_code == Codes.NONE and subscribed(driver) == 0
    assert scene.change("activate")
    driver.wait_for_node()
    driver.send()
    wait_until(lambda: len(instances(ros).instances.instances) == 1, 90, lambda: "an instance")
    before = instances(ros).instances
    assert scene.change("deactivate")
    wait_until(lambda: subscribed(driver) == 0, 90, lambda: "no subscription")
    assert instances(ros).instances == before  # the map stays
    assert scene.change("activate")
    driver.wait_for_node()
    driver.send()
    wait_until(lambda: instances(ros).instances.instances[0].num_points == 2, 90, lambda: "the map to go on")
    assert scene.change("deactivate") and scene.change("cleanup")
    assert instances(ros).error_code == Codes.NO_MAP
    assert scene.change("configure")
    after = instances(ros).instances
    assert after.instances == [] and after.map_id not in ("", before.map_id)


def test_twenty_lives_leave_nothing_behind(ros: Client, scene: ManagedClient, node: NodeProcess) -> None:
    def open_files() -> int:
        return len(list(Path(f"/proc/{node.process.pid}/fd").iterdir()))

    counts = []
    for _ in range(20):
        assert all(scene.change(step) for step in ("configure", "activate", "deactivate", "cleanup"))
        counts.append(open_files())
    assert counts[-1] <= counts[1]
    wait_until(lambda: not ros.node.count_publishers("/instascene/instances"), 90, lambda: "no publisher is left")


def test_what_is_read_at_configure_changes_only_before_it(scene: ManagedClient, node: NodeProcess) -> None:
    assert scene.set(map_frame="world", mapping__max_depth_m=1.5) == ""
    assert scene.change("configure")
    node.wait_for_output("mapping in frame 'world'")
    reason = scene.set(map_frame="odom", tf_timeout_s=0.5)
    assert "map_frame: read when the node is configured" in reason and "cleanup" in reason
    assert scene.dump()["tf_timeout_s"] == 1.0  # all or none
    assert scene.change("cleanup")
    assert scene.set(map_frame="odom", mapping__max_depth_m=3.0) == ""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"on_pose_jump": "panic"}, "expected one of warn, pause, reset"),
        ({"tf_timeout_s": 1e9}, "tf_timeout_s"),
        ({"tf_timeout_s": float("nan")}, "tf_timeout_s"),
        ({"cameras": ["a", "a"]}, "expected different, non-empty names"),
        ({"map_frame": "/odom"}, "without a slash"),
        ({"autostart": True}, "autostart"),
        ({"pose_source": 3}, "expected 'Type.STRING'"),
    ],
)
def test_values_that_cannot_be_used_are_refused_in_words(
    scene: ManagedClient, values: dict[str, object], said: str
) -> None:
    before = scene.dump()
    assert said in scene.set(**values)
    assert scene.dump() == before


def test_a_live_change_takes_effect(ros: Client, scene: ManagedClient, node: NodeProcess) -> None:
    assert scene.change("configure") and scene.change("activate")
    driver = CameraDriver(ros)
    driver.wait_for_node()
    assert scene.set(on_time_jump="reset") == ""
    first = driver.send(100_000)
    wait_until(lambda: instances(ros).instances.instances, 90, lambda: "an instance")
    old_map = instances(ros).instances.map_id
    driver.send(first - 50_000)
    wait_until(lambda: instances(ros).instances.map_id != old_map, 90, lambda: "a new map after the jump")
    wait_until(lambda: instances(ros).instances.header.stamp.sec == 50, 90, lambda: "the new time in the header")
    assert scene.set(on_time_jump="keep") == ""


def test_a_failed_configure_says_why_and_can_be_repeated(scene: ManagedClient, node: NodeProcess) -> None:
    pytest.importorskip("rclpy")
    if _has_tf2():
        pytest.skip("tf2_ros is installed here: configure would not fail")
    assert scene.set(pose_source="tf") == ""
    assert not scene.change("configure")
    node.wait_for_output("cannot configure: pose_source: tf needs tf2_ros")
    assert scene.state == "unconfigured"
    assert scene.set(pose_source="pose") == "" and scene.change("configure")


def _has_tf2() -> bool:
    from importlib.util import find_spec

    return find_spec("tf2_ros") is not None


def stored(pattern: str) -> dict[str, object]:
    def flat(group: dict, prefix: str) -> dict[str, object]:
        rows = {}
        for name, value in group.items():
            rows.update(flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value})
        return rows

    return flat(yaml.safe_load((ROOT / "config/instascene.yaml").read_text())[pattern]["ros__parameters"], "")


def test_the_dump_of_the_scene_node_is_the_file(scene: ManagedClient) -> None:
    ours = {**flatten(SceneNodeConfig()), **flatten(Config())}
    dumped = {name: value for name, value in scene.dump().items() if name in ours}
    assert dumped == {**stored("/**"), **stored("/**/scene"), **PARAMETERS}
    assert set(scene.dump()) - set(ours) <= {"use_sim_time", "start_type_description_service"}


def test_the_completion_node_refuses_while_inactive_and_its_dump_is_the_file(ros: Client) -> None:
    with node_process("instascene_ros.nodes.completion", {"autostart": False}) as node:
        node.wait_for_output("waits to be configured")
        completion = ManagedClient(ros, "completion")
        ours = {**flatten(CompletionNodeConfig()), **flatten(CompletionConfig(), "completion.")}
        dumped = {name: value for name, value in completion.dump().items() if name in ours}
        everywhere = {name: value for name, value in stored("/**").items() if name.startswith("completion.")}
        assert dumped == {**everywhere, **stored("/**/completion"), "autostart": False}
        request = CompleteObject.Request(instance_id=1)
        refused = ros.call(CompleteObject, "complete_object", request)
        assert refused.error_code == Codes.METHOD_UNAVAILABLE and "is unconfigured" in refused.error_msg
        assert completion.set(method="no-such-method") == ""
        assert not completion.change("configure")
        node.wait_for_output("cannot configure:")
        assert completion.set(method="geometric") == ""
        assert completion.change("configure") and completion.change("activate")
        assert completion.set(observe_timeout_s=0.3) == ""
        no_scene = ros.call(CompleteObject, "complete_object", request)
        assert no_scene.error_code != Codes.METHOD_UNAVAILABLE
        assert completion.change("deactivate")
        assert "is inactive" in ros.call(CompleteObject, "complete_object", request).error_msg
