"""Parameters of the node `segmentation` itself; those of the segmenters are in core/config.py."""

from dataclasses import dataclass, field

from instascene_ros.adapters.knobs import autostart_knob, live_knob
from instascene_ros.adapters.node_config import (
    COLOR_TRANSPORTS,
    DEPTH_TRANSPORTS,
    INPUT_PROFILES,
    SyncConfig,
    check_cameras,
    check_choice,
)
from instascene_ros.core.config import knob


@dataclass(frozen=True)
class SegmentationNodeConfig:
    """Node `segmentation`."""

    autostart: bool = autostart_knob()
    cameras: tuple[str, ...] = knob(("camera",), "Names of the cameras: topics <camera>/color/image and so on.")
    segmenter: str = knob("geometric", "geometric (needs depth), detectron2, mask2former or sam2.")
    max_rate_hz: float = live_knob(
        0.0, "Images of each camera that are segmented in a second at most, by their stamps, Hz; 0 = all.", 0.0, 1000.0
    )
    width_px: int = knob(
        0, "Width that images are segmented at, px; 0: 320 for geometric, as they come for networks.", 0, 8192
    )
    color_transport: str = knob("raw", "Colour: raw, or compressed (JPEG, PNG; topic <camera>/color/image/compressed).")
    depth_transport: str = knob(
        "raw", "Depth: raw, compressedDepth (PNG, RVL) or compressed (16 bit PNG); the topic's last part."
    )
    depth_scale: float = knob(0.0, "Stored depth units per metre; 0 = by encoding (32FC1 1, 16UC1 1000).", 0.0, 1e6)
    input_qos: str = knob(
        "AUTO",
        "Quality of service of the inputs: AUTO (reliable where publishers are), SENSOR_DATA, SYSTEM_DEFAULT, DEFAULT.",
    )
    watchdog_period_s: float = knob(5.0, "Every this long the log says what is missing, s; 0 = never.", 0.0, 3600.0)
    sync: SyncConfig = field(default_factory=SyncConfig)

    def __post_init__(self) -> None:
        check_choice("color_transport", self.color_transport, COLOR_TRANSPORTS)
        check_choice("depth_transport", self.depth_transport, DEPTH_TRANSPORTS)
        check_choice("input_qos", self.input_qos, INPUT_PROFILES)
        check_cameras(self.cameras)
