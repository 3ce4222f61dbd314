"""The files a run leaves: each is written whole or not at all."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from instascene_ros.core.atomic_file import replacing
from instascene_ros.core.errors import InstasceneError
from instascene_ros.core.instances import Instances
from instascene_ros.core.map_file import SavedMap
from instascene_ros.core.meshing import Mesh, write_ply
from instascene_ros.core.objects import CompletedObject

MAP, SPLATS, INSTANCES, TIMELINE = "map.npz", "map.ply", "instances.npz", "timeline.jsonl"
COMPLETED, OBJECTS, RUN, REPORT = "completed", "objects.json", "run.json", "report.html"
OURS = {  # by folder of the output, what an earlier run may have left there
    ".": rf"({MAP}|{SPLATS}|{INSTANCES}|{TIMELINE}|{RUN}|{REPORT})",
    COMPLETED: rf"(\d+\.ply|{OBJECTS})",
    "views/color": r"\d{6}\.png",
    "views/instances": r"\d{6}\.png",
}


def clear_earlier_run(out: Path) -> None:
    """Make the folder, and remove from it what an earlier run of ours wrote; other files stay.

    Raises:
        OSError: the folder cannot be made or written.
    """
    out.mkdir(parents=True, exist_ok=True)
    for folder, pattern in OURS.items():
        for path in (out / folder).glob("*"):
            if path.is_file() and re.fullmatch(pattern, path.name):
                path.unlink()
    with replacing(out / RUN) as probe:  # better to fail now than after ten minutes of mapping
        probe.write_text("{}\n")
    (out / RUN).unlink()


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


def write_instances(path: Path, saved: SavedMap) -> None:
    """`points` [P 3] (world, m), `instance` [P] (0 = none), `ids` and `scores` of the ids that have points."""
    instances = saved.instances
    shown = np.isin(instances.ids, saved.labels)
    with replacing(path) as temporary:
        np.savez_compressed(
            temporary,
            points=saved.gaussians.means_m.detach().cpu().numpy().astype(np.float32),
            instance=np.where(np.isin(saved.labels, instances.ids), saved.labels, 0).astype(np.int32),
            ids=instances.ids[shown],
            scores=instances.scores[shown],
        )


@dataclass
class Timeline:
    """One line a frame. Merges are told once, at the frame where they first show."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    _told: set[tuple[int, int]] = field(default_factory=set)

    def add(self, frame: int, stamp_ns: int, num_gaussians: int, instances: Instances) -> dict[str, Any]:
        """A mapped frame; returns its row, to which more may be added."""
        heirs = zip(instances.ids.tolist(), instances.merged_ids, strict=True)
        merges = {(old, kept) for kept, absorbed in heirs for old in absorbed}
        row = {
            "frame": frame, "stamp_ns": stamp_ns, "gaussians": num_gaussians, "instances": len(instances),
            "ids": instances.ids.tolist(), "merges": sorted(merges - self._told),
        }  # fmt: skip
        self._told |= merges
        self.rows.append(row)
        return row

    def drop(self, frame: int, reason: str) -> None:
        """A frame that could not be used."""
        self.rows.append({"frame": frame, "dropped": reason})

    @property
    def num_dropped(self) -> int:
        return sum("dropped" in row for row in self.rows)

    def write(self, path: Path) -> None:
        with replacing(path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows))


@dataclass
class CompletedFolder:
    """`completed/`: a mesh per object and a list of all that were asked for, up to date after each."""

    path: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, completed: CompletedObject, seconds: float) -> None:
        name = f"{completed.instance_id}.ply"
        with replacing(self.path / name) as temporary:
            write_ply(temporary, Mesh(completed.vertices_m, completed.faces), completed.colors, completed.observed)
        self.rows.append({
            "id": completed.instance_id, "revision": completed.instance_revision, "completed": True, "file": name,
            "size_m": completed.size_m.tolist(), "T_world_object": completed.T_world_object.tolist(),
            "vertices": len(completed.vertices_m), "faces": len(completed.faces), "watertight": completed.watertight,
            "observed_fraction": completed.observed_fraction, "confidence": completed.confidence,
            "method": completed.method, "seed": completed.seed, "seconds": round(seconds, 3),
            "warning": completed.warning,
        })  # fmt: skip
        self.write()

    def fail(self, instance_id: int, error: InstasceneError) -> None:
        """An object that could not be completed, with what the error says."""
        self.rows.append({"id": instance_id, "completed": False, "reason": str(error)})
        self.write()

    def write(self) -> None:
        write_json(self.path / OBJECTS, self.rows)
