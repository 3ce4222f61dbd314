"""One field, one parameter: all about it comes from the dataclasses, and the file mirrors them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from instascene_ros.adapters.node_config import InvalidParameterError, PlayerNodeConfig, SceneNodeConfig, SyncConfig
from instascene_ros.adapters.parameter_file import NODES, parameter_file
from instascene_ros.adapters.parameters import declare, flatten
from instascene_ros.core.config import Config

FILE = Path(__file__).resolve().parents[2] / "config" / "instascene.yaml"


def node_with(overrides: list[Parameter]) -> Node:
    return rclpy.create_node("configured", parameter_overrides=overrides, start_parameter_services=False)


def scene_with_file(path: Path) -> Node:
    arguments = ["--ros-args", "--params-file", str(path)]
    return rclpy.create_node("scene", namespace="instascene", cli_args=arguments, start_parameter_services=False)


@pytest.fixture(autouse=True)
def context() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


def flat_yaml(group: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in group.items():
        if isinstance(value, dict):
            flat.update(flat_yaml(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = tuple(value) if isinstance(value, list) else value
    return flat


def test_file_mirrors_every_key_and_default() -> None:
    stored = yaml.safe_load(FILE.read_text())
    assert list(stored) == list(NODES)
    for pattern, group in NODES.items():
        written = flat_yaml(stored[pattern]["ros__parameters"])
        expected = flatten(group)
        assert written == expected, f"{pattern}: run python -m instascene_ros.adapters.parameter_file > {FILE.name}"
        assert {k: type(v) for k, v in written.items()} == {k: type(v) for k, v in expected.items()}


def test_file_is_up_to_date_with_the_descriptions() -> None:
    assert FILE.read_text() == parameter_file()


def test_ros_reads_the_file_as_the_defaults() -> None:
    node = scene_with_file(FILE)
    assert declare(node, SceneNodeConfig) == SceneNodeConfig()
    assert declare(node, Config) == Config()


def test_ros_finds_what_was_changed_in_the_file(tmp_path: Path) -> None:
    changed = tmp_path / "mine.yaml"
    text = (
        FILE.read_text()
        .replace('map_frame: "odom"', 'map_frame: "world"')
        .replace("max_depth_m: 3.0", "max_depth_m: 1.5")
    )
    changed.write_text(text)
    node = scene_with_file(changed)
    assert declare(node, SceneNodeConfig).map_frame == "world"
    assert declare(node, Config).mapping.max_depth_m == 1.5


def test_defaults_without_overrides() -> None:
    node = node_with([])
    assert declare(node, SceneNodeConfig) == SceneNodeConfig()
    assert declare(node, PlayerNodeConfig, "player.") == PlayerNodeConfig()
    assert node.has_parameter("sync.slop_s") and node.has_parameter("player.rate")


def test_overrides_reach_nested_groups_and_lists() -> None:
    node = node_with([
        Parameter("sync.slop_s", value=0.05),
        Parameter("cameras", value=["left", "right"]),
        Parameter("map_frame", value="world"),
    ])  # fmt: skip
    config = declare(node, SceneNodeConfig)
    assert config == SceneNodeConfig(sync=SyncConfig(slop_s=0.05), cameras=("left", "right"), map_frame="world")


def test_description_and_range_are_declared() -> None:
    node = node_with([])
    declare(node, Config)
    size = node.describe_parameter("mapping.max_gaussians")
    assert "The map stops growing" in size.description and size.read_only
    assert (size.integer_range[0].from_value, size.integer_range[0].to_value) == (1000, 50_000_000)
    depth = node.describe_parameter("mapping.max_depth_m")
    assert (depth.floating_point_range[0].from_value, depth.floating_point_range[0].to_value) == (0.1, 100.0)


def test_value_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(InvalidParameterValueException, match="sync.slop_s"):
        declare(node_with([Parameter("sync.slop_s", value=2.0)]), SceneNodeConfig)


def test_value_of_another_type_is_refused_by_name() -> None:
    with pytest.raises(InvalidParameterTypeException, match="map_frame"):
        declare(node_with([Parameter("map_frame", value=3)]), SceneNodeConfig)


def test_parameters_cannot_be_changed_while_running() -> None:
    node = node_with([])
    declare(node, SceneNodeConfig)
    (result,) = node.set_parameters([Parameter("map_frame", value="world")])
    assert not result.successful


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("pose_source", "gps", "pose_source is 'gps'; expected one of pose, odom, tf"),
        ("masks", "maybe", "masks is 'maybe'; expected one of auto, topic, segmenter"),
        ("on_pose_jump", "panic", "expected one of warn, pause, reset"),
        ("input_qos", "FAST", "expected one of AUTO, SENSOR_DATA, SYSTEM_DEFAULT, DEFAULT"),
        ("cameras", (), "cameras is \\[\\]"),
        ("cameras", ("a", "a"), "expected different, non-empty names"),
    ],
)
def test_wrong_choices_name_the_parameter_and_what_there_is(field: str, value: object, said: str) -> None:
    with pytest.raises(InvalidParameterError, match=said):
        SceneNodeConfig(**{field: value})


def test_extrinsics_must_fit_the_cameras() -> None:
    with pytest.raises(InvalidParameterError, match="has 7 numbers; expected 14"):
        SceneNodeConfig(cameras=("a", "b"), pose_source="odom")
