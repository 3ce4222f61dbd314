"""The demo: a recorded scene played as a camera would, the robot's nodes, and RViz where it is installed."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

import instascene_ros

ROBOT = Path(get_package_share_directory("instascene_ros")) / "launch" / "instascene.launch.py"
# The package may be spread over two folders: generated messages in an overlay, all else in the source tree.
SAMPLE = next((path for folder in instascene_ros.__path__ if (path := Path(folder) / "sample").is_dir()), "")


def player(context: LaunchContext) -> list:
    """The recorded camera. It holds the first frame until somebody listens."""
    names = ("scene", "masks", "rate", "loop", "namespace", "params_file", "log_level", "map_frame", "use_sim_time")
    names += ("enclaves",)
    given = {name: LaunchConfiguration(name).perform(context) for name in names}
    parameters = {
        "scene": given["scene"],
        "masks": given["masks"],
        "rate": float(given["rate"]),
        "loop": given["loop"] == "true",
        "stamps": "sim" if given["use_sim_time"] == "true" else "now",
        "wait_for_subscribers": True,
    }
    if given["map_frame"]:
        parameters["map_frame"] = given["map_frame"]
    enclave = ["--enclave", f"/{given['namespace'].strip('/')}/player"] if given["enclaves"] == "true" else []
    return [
        Node(
            package="instascene_ros",
            executable="player",
            name="player",
            namespace=given["namespace"],
            parameters=[given["params_file"], parameters],
            arguments=["--ros-args", "--log-level", given["log_level"], *enclave],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Its own arguments; those of the robot's launch file can be given too."""
    yes_no = ["true", "false"]
    return LaunchDescription(
        [
            DeclareLaunchArgument("scene", default_value=str(SAMPLE), description="Folder of the recorded scene."),
            DeclareLaunchArgument(
                "masks",
                default_value="masks",
                description="Folder of recorded masks in the scene; '' = segment every frame.",
            ),
            DeclareLaunchArgument("rate", default_value="1.0", description="Speed, times the recorded one."),
            DeclareLaunchArgument(
                "loop", default_value="false", choices=yes_no, description="Start the recording over at its end."
            ),
            DeclareLaunchArgument(
                "rviz", default_value="true", choices=yes_no, description="Start RViz where it is installed."
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(ROBOT))),
            OpaqueFunction(function=player),
        ]
    )
