"""A rosbag2 (mcap or sqlite3) played into the robot's nodes, in its own time."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

ROBOT = Path(get_package_share_directory("instascene_ros")) / "launch" / "instascene.launch.py"


def player(context: LaunchContext) -> list:
    """The recorded camera, with the clock of its day, which goes on at the end. The first frame waits for listeners."""
    names = ("bag", "topics", "masks", "rate", "loop", "namespace", "params_file", "log_level", "map_frame")
    names += ("enclaves",)
    given = {name: LaunchConfiguration(name).perform(context) for name in names}
    parameters = {
        "scene": given["bag"],
        "topics": given["topics"],
        "masks": given["masks"],
        "rate": float(given["rate"]),
        "loop": given["loop"] == "true",
        "stamps": "sim",
        "hold": True,
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
            DeclareLaunchArgument("bag", description="The rosbag2: its folder, or one .mcap or .db3 file."),
            DeclareLaunchArgument(
                "topics",
                default_value="",
                description="Topics, where names leave a choice: color=/a,depth=/b,info=/c,pose=/d,masks=/e,frame=f.",
            ),
            DeclareLaunchArgument(
                "masks", default_value="", description="masks: play the bag's topic .../masks/image too; '' = do not."
            ),
            DeclareLaunchArgument("rate", default_value="1.0", description="Speed, times the recorded one."),
            DeclareLaunchArgument(
                "loop", default_value="false", choices=yes_no, description="Start the recording over at its end."
            ),
            DeclareLaunchArgument(
                "use_sim_time", default_value="true", choices=yes_no, description="Take the time from the bag (/clock)."
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(ROBOT))),
            OpaqueFunction(function=player),
        ]
    )
