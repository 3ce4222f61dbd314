"""`report.html`: one page that shows what a run found, made from the files it left."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from instascene_ros.core import run_files
from instascene_ros.core.atomic_file import replacing
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.geometry import inverse, project, transform
from instascene_ros.core.instances import Instances, InstanceState, color_of_id
from instascene_ros.core.map_file import SavedMap, load_map
from instascene_ros.core.recording import Recording
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.tools.charts import Bar, Lane, bars, curve, lanes
from instascene_ros.tools.mesh_picture import PaintedMesh
from instascene_ros.tools.pictures import data_uri, object_pictures, scene_pictures

PAGE = "report.html.j2"
CANDIDATE_FRAMES = 12  # looked at to choose the one that is shown
MAX_LANES = 40  # of the chart of ids over time


@dataclass(frozen=True)
class RunFiles:
    """What a run left in its folder."""

    folder: Path
    about: dict[str, Any]
    frames: list[dict[str, Any]]  # of the timeline, without the dropped ones
    drops: list[dict[str, Any]]
    objects: list[dict[str, Any]]
    saved: SavedMap

    @classmethod
    def read(cls, folder: Path) -> "RunFiles":
        """Raises InvalidSceneError: a file is missing or damaged."""
        try:
            rows = [json.loads(line) for line in (folder / run_files.TIMELINE).read_text().splitlines()]
            about = json.loads((folder / run_files.RUN).read_text())
            objects = json.loads((folder / run_files.COMPLETED / run_files.OBJECTS).read_text())
        except (OSError, ValueError) as error:
            raise InvalidSceneError(f"{folder} does not hold a finished run, so there is no report: {error}") from error
        drops = [row for row in rows if "dropped" in row]
        frames = [row for row in rows if "dropped" not in row]
        return cls(folder, about, frames, drops, objects, load_map(folder / run_files.MAP))

    @property
    def confirmed(self) -> Instances:
        """Instances that were seen in enough views to be trusted."""
        return self.saved.instances[self.saved.instances.states == InstanceState.CONFIRMED]


def write_report(folder: Path, recording: Recording, rasterizer: Rasterizer) -> Path:
    """Make `report.html` in the folder of a finished run; it needs no other file and no network.

    Raises:
        InvalidSceneError: a file of the run is missing or damaged.
    """
    run = RunFiles.read(folder)
    all_lanes = _lanes(run)
    templates = FileSystemLoader(Path(__file__).parent / "templates")
    text = (
        Environment(loader=templates, autoescape=True, undefined=StrictUndefined)
        .get_template(PAGE)
        .render(
            about=run.about,
            figures=_figures(run),
            strip=_strip(run, recording, rasterizer),
            cards=_cards(run, rasterizer),
            rows=_table(run),
            tentative=_tentative(run),
            completions=len(run.objects),
            stage_chart=bars(_stage_bars(run.frames)),
            time_chart=bars([Bar(name, s, f"{s:.1f} s") for name, s in run.about["seconds"].items()]),
            growth=curve([row["gaussians"] for row in run.frames], [row["frame"] for row in run.frames], "Gaussians"),
            lanes=lanes(_longest(all_lanes), run.frames[0]["frame"], run.frames[-1]["frame"]),
            num_lanes=(min(len(all_lanes), MAX_LANES), len(all_lanes)),
            drops=run.drops,
        )
    )
    with replacing(folder / run_files.REPORT) as temporary:
        temporary.write_text(text)
    return folder / run_files.REPORT


def _figures(run: RunFiles) -> list[tuple[str, str]]:
    """(value, what it is), the most important first."""
    done = [row for row in run.objects if row["completed"]]
    confirmed = len(run.confirmed)
    times = [sum(row["stage_ms"].values()) for row in run.frames if row["stage_ms"]]
    figures = [(str(len(run.saved.instances)), f"instances, {confirmed} confirmed")]
    if run.objects:
        figures.append((f"{len(done)}/{len(run.objects)}", "objects completed"))
        figures.append((f"{sum(row['watertight'] for row in done)}/{len(done)}", "of them watertight"))
    figures.append((f"{len(run.saved.gaussians):,}", "Gaussians"))
    figures.append((f"{len(run.frames)}", f"frames, {len(run.drops)} dropped"))
    if times:
        figures.append((f"{np.median(times):.0f} ms", f"a frame (median), {np.percentile(times, 90):.0f} ms at p90"))
    return figures


def _strip(run: RunFiles, recording: Recording, rasterizer: Rasterizer) -> list[tuple[str, str]]:
    """(caption, picture) of the moment that shows the most instances."""
    frame, index = telling_frame(run, recording)
    pictures = scene_pictures(run.saved, frame, rasterizer)
    captions = {
        f"Camera, frame {index}": pictures.color, "The map from there": pictures.render,
        "Its normals": pictures.normals, "Its instances": pictures.instances,
    }  # fmt: skip
    if pictures.features is not None:
        captions["Its features (three principal components)"] = pictures.features
    return [(caption, data_uri(picture)) for caption, picture in captions.items()]


def telling_frame(run: RunFiles, recording: Recording) -> tuple[Frame, int]:
    """The frame with the most confirmed instances in view, of a dozen spread over the run, and its index."""
    used = [row["frame"] for row in run.frames]
    candidates = {used[k] for k in np.linspace(0, len(used) - 1, CANDIDATE_FRAMES).astype(int)}
    frames = [(recording.frame(index), index) for index in sorted(candidates)]
    return max(frames, key=lambda pair: _num_in_view(run.confirmed, pair[0]))


def _num_in_view(instances: Instances, frame: Frame) -> tuple[int, float]:
    """Instances whose middle is in the picture, then how close they are on average (to break ties)."""
    if not len(instances):
        return 0, 0.0
    uv, depth_m = project(transform(inverse(frame.T_world_camera), instances.centroids_m), frame.camera)
    with np.errstate(invalid="ignore"):
        inside = ((uv > 0) & (uv < [frame.camera.width, frame.camera.height])).all(axis=-1)
    return int(inside.sum()), -float(depth_m[inside].mean()) if inside.any() else 0.0


def _cards(run: RunFiles, rasterizer: Rasterizer) -> list[dict[str, Any]]:
    """One for each completed object: its pictures and what is known of it."""
    cards = []
    for row in run.objects:
        if not row["completed"]:
            continue
        mesh = PaintedMesh.read(run.folder / run_files.COMPLETED / row["file"])
        up = np.array(row["T_world_object"], np.float64)[:3, 2]
        before, after = object_pictures(run.saved, row["id"], mesh, up, rasterizer)
        cards.append({**row, "color": _css(row["id"]), "before": data_uri(before), "after": data_uri(after)})
    return cards


def _table(run: RunFiles) -> list[dict[str, Any]]:
    """One row for each confirmed instance and each object that was asked for."""
    instances = run.saved.instances
    by_id = {row["id"]: row for row in run.objects}
    instances = instances[np.isin(instances.ids, [*by_id, *run.confirmed.ids.tolist()])]
    rows = [
        {
            "id": int(i),
            "color": _css(int(i)),
            "state": InstanceState(int(instances.states[k])).name.lower(),
            "score": float(instances.scores[k]),
            "size_m": instances.box_sizes_m[k].tolist(),
            "points": int(instances.num_points[k]),
            "views": int(instances.num_views[k]),
            "object": by_id.pop(int(i), None),
        }  # fmt: skip
        for k, i in enumerate(instances.ids)
    ]
    return rows + [{"id": i, "color": _css(i), "state": "none", "object": row} for i, row in by_id.items()]


def _tentative(run: RunFiles) -> list[int]:
    """Ids that the table leaves out."""
    return sorted({*run.saved.instances.ids.tolist()} - {row["id"] for row in _table(run)})


def _stage_bars(frames: Sequence[dict[str, Any]]) -> list[Bar]:
    """Median and 90th percentile of every stage over the frames that ran it."""
    names = list(dict.fromkeys(name for row in frames for name in row["stage_ms"]))
    found = []
    for name in names:
        times = [row["stage_ms"][name] for row in frames if name in row["stage_ms"]]
        median, high = np.median(times), np.percentile(times, 90)
        found.append(Bar(name, float(median), f"{median:.1f} ms", float(high)))
    return found


def _lanes(run: RunFiles) -> list[Lane]:
    """Life of every id that ever was, in order of birth."""
    heirs = {old: str(kept) for row in run.frames for old, kept in row["merges"]}
    spans: dict[int, list[list[int]]] = {}
    previous = None
    for row in run.frames:
        for i in row["ids"]:
            lived = spans.setdefault(i, [])
            if lived and lived[-1][1] == previous:
                lived[-1][1] = row["frame"]
            else:
                lived.append([row["frame"], row["frame"]])
        previous = row["frame"]
    return [Lane(str(i), _css(i), [(a, b) for a, b in lived], heirs.get(i, "")) for i, lived in spans.items()]


def _longest(rows: Sequence[Lane]) -> list[Lane]:
    """The longest-lived ones, in the order given."""
    lived = [sum(last - first + 1 for first, last in row.spans) for row in rows]
    kept = sorted(np.argsort(lived, kind="stable")[::-1][:MAX_LANES])
    return [rows[k] for k in kept]


def _css(instance_id: int) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in color_of_id(instance_id))
