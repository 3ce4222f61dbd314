"""Launch files and the RViz configuration say what the contract says."""

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
ROBOT, DEMO, REPLAY = (ROOT / "launch" / f"{name}.launch.py" for name in ("instascene", "demo", "replay"))
RVIZ = ROOT / "config" / "instascene.rviz"

ROBOT_ARGUMENTS = {
    "namespace", "use_sim_time", "params_file", "autostart", "enclaves", "log_level", "camera_config", "cameras",
    "color_topic", "camera_info_topic", "depth_topic", "image_transport", "pose_topic", "map_frame", "pose_source",
    "relative_tf", "device", "segmentation", "segmenter", "model", "load_map", "completion", "planning_scene",
    "detections", "rviz", "rviz_config",
}  # fmt: skip
SENSORS = ("realsense_d435", "zed", "azure_kinect", "sim")


def declarations(path: Path) -> list[ast.Call]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [call for call in calls if getattr(call.func, "id", "") == "DeclareLaunchArgument"]


def names(path: Path) -> set[str]:
    return {call.args[0].value for call in declarations(path)}


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_every_argument_has_a_default_and_a_description(path: Path) -> None:
    assert declarations(path)
    for call in declarations(path):
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        assert "default_value" in given or call.args[0].value == "bag", call.args[0].value
        description = given["description"].value
        assert description.endswith("."), description


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_every_configuration_that_is_read_is_declared(path: Path) -> None:
    """A name that nobody declares would be missing from --show-args."""
    source = ast.parse(path.read_text())
    reads = {"LaunchConfiguration", "argument", "is_true"}
    read = {
        arg.value
        for call in ast.walk(source) if isinstance(call, ast.Call) and getattr(call.func, "id", "") in reads
        for arg in call.args if isinstance(arg, ast.Constant)
    }  # fmt: skip
    assert read <= names(ROBOT) | names(path)


def test_every_program_that_is_run_is_installed() -> None:
    """`ros2 run` in the documents, `executable=` in the launch files."""
    built = (ROOT / "CMakeLists.txt").read_text()
    nodes = re.search(r"foreach\(node (.+)\)", built).group(1).split()
    installed = {*nodes, *re.findall(r"^install_program\((\w+) ", built, re.M)}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    run = {name for page in pages for name in re.findall(r"ros2 run instascene_ros (\w+)", page.read_text())}
    assert {"instascene", "doctor", "mock_server"} <= run <= installed
    assert {node.stem for node in (ROOT / "instascene_ros" / "nodes").glob("[!_]*.py")} - {"demo"} == set(nodes)


def test_the_robot_has_the_arguments_of_the_contract() -> None:
    assert names(ROBOT) == ROBOT_ARGUMENTS


def test_rviz_looks_from_the_default_map_frame() -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from instascene_ros.adapters.node_config import SceneNodeConfig

    options = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]["Global Options"]
    assert options["Fixed Frame"] == SceneNodeConfig().map_frame


@pytest.fixture
def with_launch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The launch files find the package's share folder in the source tree."""
    reason = "launch_ros comes with a robot's apt install, not from PyPI"
    pytest.importorskip("launch_ros", reason=reason)
    import ament_index_python.packages as packages

    monkeypatch.setattr(packages, "get_package_share_directory", lambda _: str(ROOT))


def described(path: Path, **arguments: str) -> tuple[list, dict[str, str]]:
    """The nodes that the file starts with those arguments, and its arguments with their descriptions."""
    from launch import LaunchContext
    from launch_ros.actions import Node

    spec = importlib.util.spec_from_file_location(path.name.replace(".", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description, context = module.generate_launch_description(), LaunchContext()
    context.launch_configurations.update(arguments)
    told = {argument.name: argument.description for argument in description.get_launch_arguments()}
    waiting, started = list(description.entities), []
    while waiting:
        action = waiting.pop(0)
        if isinstance(action, Node):
            started.append(action)
            action._perform_substitutions(context)
        else:
            waiting = (action.visit(context) or []) + waiting
    return started, told


@pytest.mark.usefixtures("with_launch")
def test_the_robot_starts_scene_and_completion_in_its_namespace() -> None:
    nodes, _ = described(ROBOT)
    assert [node.node_name for node in nodes] == ["/instascene/scene", "/instascene/completion"]
    nodes, _ = described(ROBOT, namespace="left_arm", completion="false", map_frame="base_link", cameras="wrist,head")
    assert [node.node_name for node in nodes] == ["/left_arm/scene"]
    nodes, _ = described(ROBOT, planning_scene="true", detections="true")
    names = ("scene", "completion", "planning_scene", "detections")
    assert [node.node_name for node in nodes] == [f"/instascene/{name}" for name in names]


@pytest.mark.usefixtures("with_launch")
def test_masks_can_come_from_a_process_of_their_own() -> None:
    nodes, _ = described(ROBOT, segmentation="node", segmenter="sam2", completion="false", camera_config="zed")
    assert [node.node_name for node in nodes] == ["/instascene/scene", "/instascene/segmentation"]
    assert remapped(nodes[:1]) == remapped(nodes[1:]), "both listen to the driver"
    scene, segmentation = (written_parameters(node) for node in nodes)
    assert "masks: topic" in scene and "segmenter" not in scene
    assert "segmenter: sam2" in segmentation


@pytest.mark.usefixtures("with_launch")
def test_compressed_images_are_asked_for_in_one_word() -> None:
    nodes, _ = described(ROBOT, segmentation="node", completion="false", image_transport="compressed")
    for node in nodes:
        written = written_parameters(node)
        assert "color_transport: compressed\n" in written and "depth_transport: compressedDepth\n" in written
    nodes, _ = described(ROBOT, completion="false", image_transport="raw")
    assert "depth_transport: raw\n" in written_parameters(nodes[0])
    assert "transport" not in written_parameters(described(ROBOT)[0][0])


def written_parameters(node: Any) -> str:
    """What the launch file sets beside the parameter files."""
    return [Path(file).read_text() for file, is_file in node._Node__expanded_parameter_arguments if is_file][-1]


def remapped(nodes: list) -> dict[str, str]:
    """What the first node's topics are called instead."""
    return {"".join(part.text for part in a): "".join(part.text for part in b) for a, b in nodes[0]._Node__remappings}


@pytest.mark.usefixtures("with_launch")
def test_transforms_are_the_robots_unless_every_robot_has_its_own() -> None:
    """A broadcaster publishes on /tf: a node in a namespace has to hear it without being told."""
    assert remapped(described(ROBOT)[0]) == {}
    nodes, _ = described(ROBOT, namespace="robot_1/instascene", relative_tf="true")
    assert remapped(nodes) == {"/tf": "tf", "/tf_static": "tf_static", "/clicked_point": "clicked_point"}


@pytest.mark.usefixtures("with_launch")
@pytest.mark.parametrize("sensor", SENSORS)
def test_a_sensor_brings_its_topics_and_parameters(sensor: str) -> None:
    nodes, _ = described(ROBOT, camera_config=sensor, cameras="wrist, head", depth_topic="/my/depth")
    found = remapped(nodes)
    raw = {f"wrist/{stream}" for stream in ("color/image", "color/camera_info", "depth/image")}
    packed = {f"wrist/{t}" for t in ("color/image/compressed", "depth/image/compressed", "depth/image/compressedDepth")}
    assert set(found) == raw | packed
    assert found["wrist/depth/image"] == "/my/depth", "what is given by hand overrules the sensor"
    assert found["wrist/depth/image/compressedDepth"] == "/my/depth/compressedDepth"
    files = [Path(file).name for file, is_file in nodes[0]._Node__expanded_parameter_arguments if is_file]
    assert files[:2] == ["instascene.yaml", f"{sensor}.yaml"], "the defaults first: later files win"


@pytest.mark.usefixtures("with_launch")
def test_an_unknown_sensor_names_the_known_ones() -> None:
    with pytest.raises(FileNotFoundError, match="realsense_d435, zed, azure_kinect, sim"):
        described(ROBOT, camera_config="kinect_v1")


def flat(tree: dict, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in tree.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_sensor_sets_existing_parameters_under_the_same_nodes(sensor: str) -> None:
    """Under other node patterns the defaults, which come first, would win over the specialisation."""
    every = yaml.safe_load((ROOT / "config" / "instascene.yaml").read_text())
    special = yaml.safe_load((ROOT / "config" / f"{sensor}.yaml").read_text())
    for pattern, parameters in special.items():
        known, given = flat(every[pattern]["ros__parameters"]), flat(parameters["ros__parameters"])
        assert set(given) <= set(known), f"{pattern}: {sorted(set(given) - set(known))}"
        assert all(type(given[name]) is type(known[name]) for name in given), "rcl refuses another type"


@pytest.mark.usefixtures("with_launch")
def test_the_demo_adds_the_player_and_explains_all_arguments() -> None:
    nodes, told = described(DEMO, rviz="false")
    assert {node.node_name for node in nodes} == {f"/instascene/{name}" for name in ("player", "scene", "completion")}
    assert set(told) == ROBOT_ARGUMENTS | {"scene", "masks", "rate", "loop"}
    assert all(told.values())


@pytest.mark.usefixtures("with_launch")
def test_a_replay_plays_the_bag_in_its_own_time() -> None:
    nodes, told = described(REPLAY, bag="/somewhere/bag")
    assert {node.node_name for node in nodes} == {f"/instascene/{name}" for name in ("player", "scene", "completion")}
    assert set(told) == ROBOT_ARGUMENTS | {"bag", "topics", "masks", "rate", "loop"}
    assert all(told.values())
    for node in nodes:
        written = [Path(file).read_text() for file, is_file in node._Node__expanded_parameter_arguments if is_file]
        wanted = "scene: /somewhere/bag" if "player" in node.node_name else "use_sim_time: true"
        assert wanted in written[-1]


@pytest.mark.usefixtures("with_launch")
def test_rviz_looks_from_the_frame_that_the_scene_is_mapped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ament_index_python.packages as packages

    monkeypatch.setattr(packages, "get_package_prefix", lambda _: "/opt/ros/jazzy")
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "/**/scene: {ros__parameters: {map_frame: base_link}}\n/**: {ros__parameters: {use_sim_time: true}}\n"
    )
    (tmp_path / "empty.yaml").write_text("")
    for given, expected in (
        ({}, "odom"), ({"map_frame": "world"}, "world"), ({"params_file": str(mine)}, "base_link"),
        ({"params_file": str(mine), "map_frame": "world"}, "world"), ({"camera_config": str(mine)}, "base_link"),
        ({"camera_config": "zed"}, "odom"), ({"params_file": str(tmp_path / "empty.yaml")}, "odom"),
    ):  # fmt: skip
        nodes, _ = described(ROBOT, rviz="true", **given)
        words = command(nodes[-1])
        assert words[words.index("-f") + 1] == expected


def command(node: Any) -> list[str]:
    """The constant words of a node's command line."""
    return ["".join(getattr(part, "text", "") for part in word) for word in node.process_description.cmd]


@pytest.mark.usefixtures("with_launch")
def test_every_node_gets_an_enclave_of_its_own_where_asked_for() -> None:
    for file, more in ((ROBOT, {}), (DEMO, {"rviz": "false"}), (REPLAY, {"bag": "/somewhere"})):
        nodes, _ = described(file, namespace="/left/arm", enclaves="true", **more)
        for node in nodes:
            words = command(node)
            assert words[words.index("--enclave") + 1] == f"/left/arm/{node.node_name.rpartition('/')[2]}"
        assert all("--enclave" not in command(node) for node in described(file, **more)[0])
