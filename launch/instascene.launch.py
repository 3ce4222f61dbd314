"""The robot: the nodes `scene` and `completion`, and RViz where asked for. `--show-args` explains every argument."""

from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = get_package_share_directory("instascene_ros")
# Several robots share one network: each keeps its transforms in its namespace.
REMAPPINGS = [("/tf", "tf"), ("/tf_static", "tf_static")]


def argument(context: LaunchContext, name: str) -> str:
    """The value that was given, or the default."""
    return LaunchConfiguration(name).perform(context)


def overrides(context: LaunchContext, names: tuple[str, ...]) -> dict[str, str]:
    """Parameters given as launch arguments; an empty argument leaves what params_file says."""
    return {name: argument(context, name) for name in names if argument(context, name)}


def nodes(context: LaunchContext) -> list:
    """The processes, once the arguments are known."""
    common = {
        "package": "instascene_ros",
        "namespace": argument(context, "namespace"),
        "remappings": REMAPPINGS,
        "output": "screen",
        "arguments": ["--ros-args", "--log-level", argument(context, "log_level")],
    }
    sim_time = {"use_sim_time": argument(context, "use_sim_time").lower() == "true"}
    given = overrides(context, ("map_frame", "pose_source", "device", "segmenter")) | sim_time
    if cameras := argument(context, "cameras"):
        given["cameras"] = [name.strip() for name in cameras.split(",")]
    params_file = argument(context, "params_file")
    started = [Node(executable="scene", name="scene", parameters=[params_file, given], **common)]
    if argument(context, "completion").lower() == "true":
        started.append(Node(executable="completion", name="completion", parameters=[params_file, sim_time], **common))
    return started + rviz(context, sim_time)


def rviz(context: LaunchContext, sim_time: dict[str, bool]) -> list:
    """RViz in the same namespace, because the topics of the shipped configuration are relative."""
    wanted = argument(context, "rviz").lower()
    if wanted == "false":
        return []
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        return [LogInfo(msg="RViz is not installed (sudo apt install ros-jazzy-rviz2): going on without it")]
    fixed_frame = argument(context, "map_frame")
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            name="rviz",
            namespace=argument(context, "namespace"),
            remappings=REMAPPINGS,
            parameters=[sim_time],
            arguments=["-d", argument(context, "rviz_config"), *(["-f", fixed_frame] if fixed_frame else [])],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Arguments first, each with what it does."""
    yes_no = ["true", "false"]
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "namespace", default_value="instascene", description="Namespace of all nodes, topics and services."
            ),
            DeclareLaunchArgument(
                "use_sim_time", default_value="false", choices=yes_no, description="Take the time from /clock."
            ),
            DeclareLaunchArgument(
                "params_file", default_value=f"{SHARE}/config/instascene.yaml", description="Parameters of all nodes."
            ),
            DeclareLaunchArgument(
                "log_level", default_value="info", description="debug, info, warn, error or fatal, for all nodes."
            ),
            DeclareLaunchArgument(
                "cameras",
                default_value="",
                description="Camera names, joined by commas: topics <camera>/color/image etc. '' = params_file.",
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
                "device",
                default_value="",
                choices=["", "auto", "cpu", "cuda"],
                description="What the map is rendered on. '' = params_file.",
            ),
            DeclareLaunchArgument(
                "segmenter",
                default_value="",
                description="Segmenter of frames that come without masks, e.g. geometric. '' = params_file.",
            ),
            DeclareLaunchArgument(
                "completion", default_value="true", choices=yes_no, description="Start the node that completes objects."
            ),
            DeclareLaunchArgument("rviz", default_value="false", choices=yes_no, description="Start RViz."),
            DeclareLaunchArgument(
                "rviz_config", default_value=f"{SHARE}/config/instascene.rviz", description="What RViz shows."
            ),
            OpaqueFunction(function=nodes),
        ]
    )
