"""The robot: the nodes `scene` and `completion`; `segmentation`, adapters and RViz where asked for.

`--show-args` explains it all.
"""

from pathlib import Path

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

CONFIG = Path(get_package_share_directory("instascene_ros")) / "config"
YES_NO = ["true", "false"]
# camera_config -> what its driver calls colour, colour's camera_info, and depth registered to colour
DRIVER_TOPICS = {
    "realsense_d435": (
        "/camera/camera/color/image_raw", "/camera/camera/color/camera_info",
        "/camera/camera/aligned_depth_to_color/image_raw",
    ),
    "zed": (
        "/zed/zed_node/rgb/color/rect/image", "/zed/zed_node/rgb/color/rect/camera_info",
        "/zed/zed_node/depth/depth_registered",
    ),
    "azure_kinect": ("/rgb/image_raw", "/rgb/camera_info", "/depth_to_rgb/image_raw"),
    "sim": ("/camera/image", "/camera/camera_info", "/camera/depth_image"),
}  # fmt: skip
STREAMS = ("color/image", "color/camera_info", "depth/image")
# image_transport's topics beside the raw one (parameters color_transport, depth_transport)
TRANSPORTS = {
    "color/image": ("", "/compressed"),
    "color/camera_info": ("",),
    "depth/image": ("", "/compressed", "/compressedDepth"),
}
DEPTH_TRANSPORTS = {"raw": "raw", "compressed": "compressedDepth"}  # what image_transport names for depth
TOPIC_ARGUMENTS = ("color_topic", "camera_info_topic", "depth_topic")


def argument(context: LaunchContext, name: str) -> str:
    """The value that was given, or the default."""
    return LaunchConfiguration(name).perform(context)


def is_true(context: LaunchContext, name: str) -> bool:
    return argument(context, name).lower() == "true"


def logging(context: LaunchContext, node: str) -> list[str]:
    """Arguments of a node: its log level and, where asked for, its SROS2 enclave /<namespace>/<node>."""
    enclave = ["--enclave", f"/{argument(context, 'namespace').strip('/')}/{node}"]
    level = ["--ros-args", "--log-level", argument(context, "log_level")]
    return level + (enclave if is_true(context, "enclaves") else [])


def overrides(context: LaunchContext, names: dict[str, str]) -> dict[str, str]:
    """Parameters given as launch arguments {argument: parameter}; an empty argument leaves what the files say."""
    return {parameter: argument(context, name) for name, parameter in names.items() if argument(context, name)}


def camera_config(context: LaunchContext) -> list[str]:
    """The parameter file of the sensor: a name of config/, or a path."""
    given = argument(context, "camera_config")
    if not given:
        return []
    path = Path(given) if given.endswith(".yaml") else CONFIG / f"{given}.yaml"
    if not path.is_file():
        known = ", ".join(DRIVER_TOPICS)
        raise FileNotFoundError(f"camera_config {given!r}: no file {path}; expected {known} or a path")
    return [str(path)]


def remappings(context: LaunchContext) -> list[tuple[str, str]]:
    """Our names -> the driver's, of the first camera; and transforms of this namespace alone, where asked for."""
    camera = (argument(context, "cameras") or "camera").split(",")[0].strip()
    driver = DRIVER_TOPICS.get(argument(context, "camera_config"), ("", "", ""))
    given = [argument(context, name) or topic for name, topic in zip(TOPIC_ARGUMENTS, driver, strict=True)]
    found = [
        (f"{camera}/{stream}{transport}", f"{topic}{transport}")
        for stream, topic in zip(STREAMS, given, strict=True)
        for transport in TRANSPORTS[stream]
        if topic
    ]
    if pose_topic := argument(context, "pose_topic"):
        found += [(f"{camera}/pose", pose_topic), ("odom", pose_topic)]
    return found + transforms(context)


def transforms(context: LaunchContext) -> list[tuple[str, str]]:
    """What is everybody's by an absolute name, as this robot's own: its transforms, and clicks in its RViz."""
    own = ("tf", "tf_static", "clicked_point")
    return [(f"/{name}", name) for name in own] if is_true(context, "relative_tf") else []


def nodes(context: LaunchContext) -> list:
    """The processes, once the arguments are known."""
    common = {
        "package": "instascene_ros",
        "namespace": argument(context, "namespace"),
        "output": "screen",
        "sigterm_timeout": "15",  # the frame or the file at hand is finished first
    }
    managed = {"autostart": is_true(context, "autostart")}
    files = [argument(context, "params_file"), *camera_config(context)]
    sim_time = {"use_sim_time": is_true(context, "use_sim_time")}
    same = {name: name for name in ("map_frame", "pose_source", "device", "segmenter", "load_map")}
    given = overrides(context, same | {"segmentation": "masks", "model": "networks.model"}) | sim_time | managed
    masks = overrides(context, {"segmenter": "segmenter", "model": "networks.model"}) | sim_time | managed
    if cameras := argument(context, "cameras"):
        given["cameras"] = masks["cameras"] = [name.strip() for name in cameras.split(",")]
    if transport := argument(context, "image_transport"):
        transports = {"color_transport": transport, "depth_transport": DEPTH_TRANSPORTS[transport]}
        given, masks = given | transports, masks | transports
    names = ["scene", *(name for name in ("completion", "planning_scene", "detections") if is_true(context, name))]
    if argument(context, "segmentation") == "node":
        given["masks"] = "topic"
        given.pop("segmenter", None)
        names.append("segmentation")
    parameters = {"scene": given, "segmentation": masks}
    remapped = dict.fromkeys(parameters, remappings(context))
    started = [
        Node(
            executable=name,
            name=name,
            parameters=[*files, parameters.get(name, sim_time | managed)],
            remappings=remapped.get(name, []),
            arguments=logging(context, name),
            **common,
        )
        for name in names
    ]
    return started + rviz(context, sim_time)


def map_frame(context: LaunchContext) -> str:
    """The frame that the scene node maps in: as an argument, or from the last file that names one."""
    frame = argument(context, "map_frame")
    for file in [*camera_config(context)[::-1], argument(context, "params_file")]:
        if frame:
            break
        groups = yaml.safe_load(Path(file).read_text()) or {}
        given = [group.get("ros__parameters", {}) for name, group in groups.items() if name.endswith(("scene", "**"))]
        frame = next((parameters["map_frame"] for parameters in given[::-1] if "map_frame" in parameters), "")
    return frame or "odom"


def rviz(context: LaunchContext, sim_time: dict[str, bool]) -> list:
    """RViz in the same namespace, because the topics of the shipped configuration are relative."""
    if not is_true(context, "rviz"):
        return []
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        return [LogInfo(msg="RViz is not installed (sudo apt install ros-jazzy-rviz2): going on without it")]
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            name="rviz",
            namespace=argument(context, "namespace"),
            remappings=transforms(context),
            parameters=[sim_time],
            arguments=["-d", argument(context, "rviz_config"), "-f", map_frame(context)],
        )
    ]


def general_arguments() -> list[DeclareLaunchArgument]:
    """How the nodes run."""
    return [
        DeclareLaunchArgument(
            "namespace", default_value="instascene", description="Namespace of all nodes, topics and services."
        ),
        DeclareLaunchArgument(
            "use_sim_time", default_value="false", choices=YES_NO, description="Take the time from /clock."
        ),
        DeclareLaunchArgument(
            "params_file", default_value=str(CONFIG / "instascene.yaml"), description="Parameters of all nodes."
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            choices=YES_NO,
            description="Configure and activate the nodes; false leaves that to a lifecycle manager.",
        ),
        DeclareLaunchArgument(
            "log_level", default_value="info", description="debug, info, warn, error or fatal, for all nodes."
        ),
        DeclareLaunchArgument(
            "enclaves",
            default_value="false",
            choices=YES_NO,
            description="Give each node its SROS2 enclave, /<namespace>/<node> (docs/security.md).",
        ),
        DeclareLaunchArgument(
            "device",
            default_value="",
            choices=["", "auto", "cpu", "cuda"],
            description="What the map is rendered on. '' = params_file.",
        ),
        DeclareLaunchArgument(
            "load_map", default_value="", description="Saved map to start from, a folder of save_map. '' = none."
        ),
        DeclareLaunchArgument(
            "completion", default_value="true", choices=YES_NO, description="Start the node that completes objects."
        ),
        DeclareLaunchArgument(
            "planning_scene",
            default_value="false",
            choices=YES_NO,
            description="Start the adapter that keeps MoveIt's planning scene up to date (needs moveit_msgs).",
        ),
        DeclareLaunchArgument(
            "detections",
            default_value="false",
            choices=YES_NO,
            description="Start the adapter that publishes vision_msgs/Detection3DArray (needs vision_msgs).",
        ),
        DeclareLaunchArgument("rviz", default_value="false", choices=YES_NO, description="Start RViz."),
        DeclareLaunchArgument(
            "rviz_config", default_value=str(CONFIG / "instascene.rviz"), description="What RViz shows."
        ),
    ]


def input_arguments() -> list[DeclareLaunchArgument]:
    """Where images, poses and masks come from."""
    return [
        DeclareLaunchArgument(
            "camera_config",
            default_value="",
            description="Sensor: realsense_d435, zed, azure_kinect or sim, or a .yaml of parameters. '' = none.",
        ),
        DeclareLaunchArgument(
            "cameras",
            default_value="",
            description="Camera names, joined by commas: topics <camera>/color/image etc. '' = params_file.",
        ),
        DeclareLaunchArgument(
            "color_topic", default_value="", description="Colour of the first camera. '' = camera_config's or ours."
        ),
        DeclareLaunchArgument(
            "camera_info_topic", default_value="", description="Its camera_info. '' = camera_config's or ours."
        ),
        DeclareLaunchArgument(
            "depth_topic",
            default_value="",
            description="Its depth, registered (aligned) to colour. '' = camera_config's or ours.",
        ),
        DeclareLaunchArgument(
            "image_transport",
            default_value="",
            choices=["", *DEPTH_TRANSPORTS],
            description="Images as they are, or <color>/compressed and <depth>/compressedDepth. '' = params_file.",
        ),
        DeclareLaunchArgument(
            "pose_topic", default_value="", description="Its poses, or odometry. '' = <camera>/pose, or odom."
        ),
        DeclareLaunchArgument(
            "map_frame",
            default_value="",
            description="Frame to map and publish in, e.g. odom or base_link; must not jump. '' = params_file.",
        ),
        DeclareLaunchArgument(
            "pose_source",
            default_value="",
            choices=["", "pose", "odom", "tf"],
            description="Where camera poses come from: topic <camera>/pose, topic odom, or TF. '' = params_file.",
        ),
        DeclareLaunchArgument(
            "relative_tf",
            default_value="false",
            choices=YES_NO,
            description="Transforms and clicks of <namespace> alone, not of /tf: for robots with a tree of their own.",
        ),
        DeclareLaunchArgument(
            "segmentation",
            default_value="",
            choices=["", "auto", "topic", "segmenter", "node"],
            description="Entity masks: topic, segmenter (in the scene node), node (a process of its own: node "
            "segmentation), or auto = the topic if it has a publisher. '' = params_file.",
        ),
        DeclareLaunchArgument(
            "segmenter",
            default_value="",
            description="Segmenter: geometric, detectron2, mask2former or sam2. '' = params_file.",
        ),
        DeclareLaunchArgument(
            "model", default_value="", description="Weights of the segmenter, where it is a network. '' = params_file."
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """Arguments first, each with what it does."""
    return LaunchDescription([*general_arguments(), *input_arguments(), OpaqueFunction(function=nodes)])
