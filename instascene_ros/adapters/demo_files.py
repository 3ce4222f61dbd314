"""What the demo saves of all that came over DDS: the files of `instascene run`, so that the same report can be made."""

import json
from pathlib import Path
from typing import Any

from rclpy.utilities import get_rmw_implementation_identifier

from instascene_ros.adapters.map_listener import MapListener
from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.core.atomic_file import replacing
from instascene_ros.core.map_file import SavedMap, save_map, write_splats
from instascene_ros.core.run_files import INSTANCES, MAP, SPLATS, write_instances
from instascene_ros.core.versions import versions


def write_map(out: Path, saved: SavedMap) -> None:
    """`map.npz`, `map.ply` and `instances.npz`."""
    save_map(out / MAP, saved)
    write_splats(out / SPLATS, saved.gaussians)
    write_instances(out / INSTANCES, saved)


def write_timeline(path: Path, heard: MapListener) -> tuple[int, int]:
    """`timeline.jsonl`: a line for each frame that was played; (frames mapped, frames left out)."""
    rows: dict[int, dict[str, Any]] = {}
    index_of = {stamp_ns: index for index, stamp_ns in enumerate(heard.pose_stamps_ns)}
    told: set[tuple[int, int]] = set()
    for array, num_gaussians in zip(heard.arrays, heard.gaussians_at, strict=True):
        stamp_ns = ns_of_stamp(array.header.stamp)
        merges = {(int(old), int(one.id)) for one in array.instances for old in one.merged_ids} - told
        told |= merges
        if stamp_ns in index_of:
            rows[index_of[stamp_ns]] = {
                "frame": index_of[stamp_ns], "stamp_ns": stamp_ns, "gaussians": int(num_gaussians),
                "instances": len(array.instances), "ids": [int(one.id) for one in array.instances],
                "merges": sorted(merges), "stage_ms": {},
            }  # fmt: skip
    missing = {i: {"frame": i, "dropped": "a newer frame came first"} for i in index_of.values() if i not in rows}
    lines = [json.dumps(row) for _, row in sorted((rows | missing).items())]
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))
    return len(rows), len(missing)


def versions_with_middleware() -> dict[str, str]:
    """Versions and hardware, and what carried the messages."""
    return {**versions(), "middleware": get_rmw_implementation_identifier()}
