"""Parameters of the node `completion` itself; those of the method are CompletionConfig in core/config.py."""

from dataclasses import dataclass

from instascene_ros.adapters.knobs import autostart_knob, live_knob, start_knob
from instascene_ros.core.config import knob

MAX_WAITING = 8  # requests that may wait or run at once; each holds a thread of the executor


@dataclass(frozen=True)
class CompletionNodeConfig:
    """Node `completion`."""

    autostart: bool = autostart_knob()
    method: str = knob("auto", "Completion prior of a request that names none: geometric, diffusion, or auto.")
    mesh_dir: str = knob("", "Folder for the full coloured meshes (PLY); empty = none is written.")
    observe_timeout_s: float = live_knob(30.0, "How long the scene node may take to answer, s.", 0.1, 3600.0)
    default_timeout_s: float = live_knob(
        120.0, "How long a request waits that gives no time of its own, s.", 0.1, 86400.0
    )
    result_timeout_s: int = start_knob(60, "How long the action keeps a result that nobody fetched, s.", 1, 86400)
    cache_size: int = knob(64, "Completed objects remembered.", 1, 100_000)
    max_marker_faces: int = live_knob(
        5000, "Triangles of one object in completed_objects/markers at most.", 100, 1_000_000
    )
