"""Parameters of the nodes themselves: topics, frames, time, rates. Those of the algorithm are in core/config.py."""

from dataclasses import dataclass, field

from instascene_ros.adapters.knobs import autostart_knob, live_knob
from instascene_ros.core.config import knob
from instascene_ros.core.errors import InstasceneError

POSE_SOURCES = ("pose", "odom", "tf")
MASK_SOURCES = ("auto", "topic", "segmenter")
INPUT_PROFILES = ("AUTO", "SENSOR_DATA", "SYSTEM_DEFAULT", "DEFAULT")
ON_POSE_JUMP = ("warn", "pause", "reset")
ON_TIME_JUMP = ("keep", "reset")
COLOR_TRANSPORTS = ("raw", "compressed")
DEPTH_TRANSPORTS = ("raw", "compressed", "compressedDepth")
STAMPS = ("now", "sim")


class InvalidParameterError(InstasceneError, ValueError):
    """A node parameter whose value cannot be used."""


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises InvalidParameterError: the value is none of the choices."""
    if value not in choices:
        raise InvalidParameterError(f"parameter {name} is {value!r}; expected one of {', '.join(choices)}")


def check_cameras(names: tuple[str, ...]) -> None:
    """Raises InvalidParameterError: no camera, or two of one name."""
    if not names or len(set(names)) != len(names) or not all(names):
        raise InvalidParameterError(f"parameter cameras is {list(names)}; expected different, non-empty names")


@dataclass(frozen=True)
class SyncConfig:
    """Bringing the messages of one instant together."""

    slop_s: float = live_knob(
        0.02, "Stamps of colour, depth and masks may differ by this, s; equal stamps come first.", 0.0, 1.0
    )
    queue_size: int = knob(30, "Messages kept for each image topic while partners are missing.", 1, 1000)
    queue_mb: int = knob(128, "The same in MB for each camera: large images fill it first.", 1, 1_000_000)
    wait_s: float = live_knob(1.0, "A colour image waits this long for its depth and masks, s.", 0.0, 60.0)
    jump_back_s: float = knob(1.0, "Stamps that go back by more than this mean that time restarted, s.", 0.0, 3600.0)


@dataclass(frozen=True)
class PublishConfig:
    """How often and how much. A rate of 0 = off."""

    instances_rate_hz: float = live_knob(
        10.0, "Most often that instances and their markers are published, Hz; 0 = off.", 0.0, 100.0
    )
    points_rate_hz: float = live_knob(2.0, "Most often that instances/points is published, Hz; 0 = off.", 0.0, 100.0)
    map_rate_hz: float = live_knob(
        0.5, "Most often that map/points and map/gaussians are published, Hz; 0 = off.", 0.0, 100.0
    )
    debug_rate_hz: float = live_knob(2.0, "Most often that the debug images are published, Hz; 0 = off.", 0.0, 100.0)
    max_map_points: int = live_knob(200_000, "Points of map/points at most, evenly thinned.", 1, 50_000_000)


@dataclass(frozen=True)
class SceneNodeConfig:
    """Node `scene`."""

    autostart: bool = autostart_knob()
    cameras: tuple[str, ...] = knob(("camera",), "Names of the cameras: topics <camera>/color/image and so on.")
    map_frame: str = knob("odom", "Frame that everything is mapped and published in; must not jump (REP-105).")
    pose_source: str = knob(
        "pose", "Where camera poses come from: pose (topic <camera>/pose), odom (topic odom) or tf."
    )
    camera_extrinsics: tuple[float, ...] = knob(
        (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0),
        "With pose_source odom: x y z (m) qw qx qy qz of each camera's optical frame in the odometry's child frame.",
    )
    tf_timeout_s: float = live_knob(
        1.0, "A frame waits this long for a pose as new as itself, from TF or a topic, s.", 0.0, 60.0
    )
    max_pose_gap_s: float = knob(0.5, "Poses further apart than this are not interpolated, s.", 0.0, 60.0)
    max_pose_jump_m: float = live_knob(
        0.5, "Consecutive poses further apart than this are a jump, m; 0 = never.", 0.0, 1000.0
    )
    on_pose_jump: str = live_knob("warn", "What to do on a jump: warn, pause or reset.")
    on_time_jump: str = live_knob(
        "keep", "When time starts over (a bag loops, a simulation is reset): keep the map, or reset it."
    )
    color_transport: str = knob("raw", "Colour: raw, or compressed (JPEG, PNG; topic <camera>/color/image/compressed).")
    depth_transport: str = knob(
        "raw", "Depth: raw, compressedDepth (PNG, RVL) or compressed (16 bit PNG); the topic's last part."
    )
    masks: str = knob("auto", "Entity masks: topic, segmenter, or auto = the topic where it has a publisher.")
    segmenter: str = knob("geometric", "Segmenter for frames without a mask topic.")
    device: str = knob("auto", "auto, cpu or cuda.")
    depth_scale: float = knob(0.0, "Stored depth units per metre; 0 = by encoding (32FC1 1, 16UC1 1000).", 0.0, 1e6)
    map_root: str = live_knob("/", "Folder that save_map and load_map are confined to; / = anywhere.")
    load_map: str = knob("", "Saved map to begin with: file:// URL or absolute path; empty = an empty map.")
    complete_on_click: bool = live_knob(False, "Complete the instance that a click in RViz (/clicked_point) selects.")
    input_qos: str = knob(
        "AUTO",
        "Quality of service of the inputs: AUTO (reliable where publishers are), SENSOR_DATA, SYSTEM_DEFAULT, DEFAULT.",
    )
    watchdog_period_s: float = knob(5.0, "Every this long the log says what is missing, s; 0 = never.", 0.0, 3600.0)
    sync: SyncConfig = field(default_factory=SyncConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)

    def __post_init__(self) -> None:
        check_choice("pose_source", self.pose_source, POSE_SOURCES)
        check_choice("on_pose_jump", self.on_pose_jump, ON_POSE_JUMP)
        check_choice("on_time_jump", self.on_time_jump, ON_TIME_JUMP)
        check_choice("color_transport", self.color_transport, COLOR_TRANSPORTS)
        check_choice("depth_transport", self.depth_transport, DEPTH_TRANSPORTS)
        check_choice("masks", self.masks, MASK_SOURCES)
        check_choice("input_qos", self.input_qos, INPUT_PROFILES)
        if not self.map_frame or self.map_frame.startswith("/"):
            raise InvalidParameterError(f"parameter map_frame is {self.map_frame!r}; expected a frame without a slash")
        check_cameras(self.cameras)
        wanted = 7 * len(self.cameras)
        if self.pose_source == "odom" and len(self.camera_extrinsics) != wanted:
            raise InvalidParameterError(
                f"parameter camera_extrinsics has {len(self.camera_extrinsics)} numbers; "
                f"expected {wanted}: x y z qw qx qy qz for each of {list(self.cameras)}"
            )


@dataclass(frozen=True)
class PlayerNodeConfig:
    """Node `player`."""

    scene: str = knob("", "The recorded scene to play: a folder, or a rosbag2 (mcap, sqlite3).")
    topics: str = knob(
        "", "Topics of a bag, where names leave a choice: color=/a,depth=/b,info=/c,pose=/d,masks=/e,frame=odom."
    )
    camera: str = knob("camera", "Name of the camera to play as.")
    map_frame: str = knob("odom", "Frame of the poses.")
    optical_frame: str = knob("camera_color_optical_frame", "Frame of the images.")
    masks: str = knob(
        "", "Recorded masks to publish: a folder, e.g. masks; of a bag, its topic .../masks/image. Empty = none."
    )
    rate: float = knob(1.0, "Speed, times the recorded one.", 0.001, 1000.0)
    first: int = knob(0, "First frame to play.", 0, 10_000_000)
    count: int = knob(0, "Frames to play; 0 = to the end.", 0, 10_000_000)
    loop: bool = knob(False, "Start over at the end, with stamps that go on.")
    hold: bool = knob(False, "At the end stay and let /clock run on: nodes in simulated time would stand still.")
    paused: bool = knob(False, "Start paused.")
    wait_for_subscribers: bool = knob(False, "Hold the first frame until somebody listens to images and poses.")
    depth_encoding: str = knob("16UC1", "16UC1 (mm) or 32FC1 (m).")
    stamps: str = knob("now", "now: recorded times moved to the present; sim: recorded times, with /clock.")

    def __post_init__(self) -> None:
        check_choice("stamps", self.stamps, STAMPS)
        check_choice("depth_encoding", self.depth_encoding, ("16UC1", "32FC1"))
