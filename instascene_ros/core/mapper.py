"""From posed RGB-D keyframes to a surfel map."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from instascene_ros.core.carving import carve
from instascene_ros.core.columns import Columns, checked, prefixed, under
from instascene_ros.core.config import MappingConfig
from instascene_ros.core.evidence import Evidence
from instascene_ros.core.exposure import Exposure
from instascene_ros.core.frame import Frame
from instascene_ros.core.frame_columns import frame_columns, frames_of_columns
from instascene_ros.core.fusion import fuse
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.growing_rows import Kept
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.refinement import RowAdam, refine
from instascene_ros.core.removal import HoleFiller, Sight, sight_of
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import Rendering, render
from instascene_ros.core.room import near, with_room_for
from instascene_ros.core.seeding import seed_surfels, unexplained
from instascene_ros.core.splitting import split

log = logging.getLogger(__name__)
FILL_STEPS = 2  # of refinement on every view in which a hole was filled
USUAL_STEPS = {"cpu": 2, "cuda": 8}  # that a camera leaves time for
LEAST_STEPS = 2
CROP_KEYFRAMES = 6  # the newest, around which a bounded map stays: cameras take turns
OLD_STRIDE = 7  # from one old keyframe to the next to be refined: neighbours show much the same


@dataclass
class Mapper:
    """Adds keyframes to the map: fuse what is known, seed what is new, refine, prune what was contradicted."""

    config: MappingConfig
    rasterizer: Rasterizer
    min_trace_weight: float
    num_refused: int = 0  # seeds that did not fit into the map
    keyframes: list[Frame] = field(default_factory=list)
    _newest: Keyframe | None = None
    _optimizer: RowAdam = field(init=False)
    _exposure: Exposure = field(init=False)
    _frames_since_keyframe: int = 0
    _next_old: int = 0
    _owes_steps: bool = False  # of refinement, on the newest keyframe

    def __post_init__(self) -> None:
        self._optimizer, self._exposure = RowAdam(self.rasterizer.device), Exposure(self.rasterizer.device)

    def is_keyframe(self, frame: Frame) -> bool:
        """Whether the camera has moved enough, or long enough ago, since the last keyframe; or masks came at last."""
        self._frames_since_keyframe += 1
        if not self.keyframes or self._frames_since_keyframe >= self.config.keyframe_max_gap:
            return True
        if frame.masks and not self.keyframes[-1].masks:  # where few frames have masks, none can be done without
            return True
        moved_m, turned_deg = motion(self.keyframes[-1].T_world_camera, frame.T_world_camera)
        return bool(moved_m >= self.config.keyframe_translation_m or turned_deg >= self.config.keyframe_rotation_deg)

    @torch.no_grad()
    def integrate(self, frame: Frame, gaussians: GaussianMap) -> tuple[Keyframe, Rendering]:
        """Take a keyframe into the map; returns it with the map rendered from it, traced.

        The steps of refinement that it is worth are left to `refine`: they improve how the map looks, and nobody who
        waits for the objects in this frame need wait for them.
        """
        self.refine(gaussians)
        keyframe = Keyframe(frame, self.config, self.rasterizer.device)
        rendering = self._render(frame, gaussians) if len(gaussians) else None
        rendering = self._exposure.align(keyframe, rendering, gaussians)
        if rendering is not None:
            self._revise(keyframe, rendering, gaussians)
        self._seed(keyframe, rendering, gaussians)
        self._remember(keyframe)
        self._crop(gaussians)
        self._owes_steps = True
        return keyframe, self._render(frame, gaussians)

    def refine(self, gaussians: GaussianMap, hurried: Callable[[], bool] = lambda: False) -> bool:
        """The steps that the newest keyframe is worth, once; `integrate` does them where nobody did. Were there any?

        Once `hurried`, those beyond the least that keeps a map in shape are left out.
        """
        owed, self._owes_steps = self._owes_steps, False
        if not owed:
            return False
        for step, view in enumerate(self._views_to_refine()):
            if step >= LEAST_STEPS and hurried():
                break
            refine(gaussians, [view], self.rasterizer, self._optimizer)
        return True

    def _revise(self, keyframe: Keyframe, rendering: Rendering, gaussians: GaussianMap) -> None:
        """What the view says about the surfels that are there."""
        evidence = Evidence.of(keyframe, rendering, gaussians)
        fuse(evidence, gaussians, self.config)
        kept = carve(keyframe, evidence, gaussians)
        replaced, halves = split(keyframe, evidence, gaussians, self.config.max_gaussians - len(gaussians))
        self._keep(kept & ~replaced, gaussians)
        self._append(halves, gaussians)

    def _views_to_refine(self) -> Iterator[Keyframe]:
        """The newest keyframe, then others from all over the past, so that no region decays."""
        steps = self.config.refine_steps
        for step in range(steps if steps >= 0 else USUAL_STEPS[self.rasterizer.device]):
            view = self._newest
            if step and len(self.keyframes) > 1:
                self._next_old = (self._next_old + OLD_STRIDE) % (len(self.keyframes) - 1)
                view = self._keyframe(self._next_old)
            yield self._exposure.restore(view)

    def remove(
        self, rows: Bool[Tensor, " N"], gaussians: GaussianMap, labels: Int64[Tensor, " N"], filler: HoleFiller | None
    ) -> None:
        """Take an object's Gaussians out of the map and of what is remembered, and fill its hole."""
        sights = self._forget(gaussians.select(rows))
        self._keep(~rows, gaussians)
        if filler is not None and sights:
            views = filler.fill(sights, gaussians, labels[~rows])
            self._optimizer.grow(gaussians)
            refine(gaussians, views * FILL_STEPS, self.rasterizer, self._optimizer)

    @torch.no_grad()
    def _forget(self, surfels: GaussianMap) -> list[Sight]:
        """Let the remembered views forget an object, which they would paint onto what is behind it."""
        found = [sight_of(surfels, frame, self.rasterizer) for frame in self.keyframes]
        self.keyframes = [
            frame if sight is None else sight.forgotten for frame, sight in zip(self.keyframes, found, strict=True)
        ]
        self._newest = self._keyframe(-1) if self.keyframes else None
        return [sight for sight in found if sight is not None]

    def columns(self) -> Columns:
        """Keyframes and optimiser, to save."""
        return {
            "frames_since_keyframe": np.array(self._frames_since_keyframe),
            "next_old": np.array(self._next_old),
            "owes_steps": np.array(int(self._owes_steps)),
            "num_remembered": np.array(len(self.keyframes)),
            **prefixed("keyframes", frame_columns(self.keyframes)),
            **prefixed("optimizer", self._optimizer.columns()),
            **prefixed("exposure", self._exposure.columns()),
        }

    def restore(self, columns: Columns, gaussians: GaussianMap) -> None:
        """Take over saved keyframes and optimiser of a map.

        Raises:
            ValueError: the columns do not fit together or do not fit the map.
        """
        numbers = {name: np.array(0) for name in ("frames_since_keyframe", "next_old", "num_remembered")}
        found = checked(numbers, columns)
        frames, num_remembered = frames_of_columns(under("keyframes", columns)), int(found["num_remembered"])
        if not 0 <= num_remembered <= len(frames):  # maps of older versions hold more frames than they remember
            raise ValueError(f"{num_remembered} remembered keyframes of {len(frames)} frames")
        self._optimizer = RowAdam.from_columns(gaussians, under("optimizer", columns))
        self._exposure = Exposure.from_columns(under("exposure", columns), self.rasterizer.device)
        self.keyframes = frames[:num_remembered][-self.config.max_keyframes :]
        self._newest = self._keyframe(-1) if self.keyframes else None
        self._frames_since_keyframe, self._next_old = int(found["frames_since_keyframe"]), int(found["next_old"])
        self._owes_steps = bool(columns.get("owes_steps", 0)) and bool(self.keyframes)  # older maps owe none

    def _keyframe(self, index: int) -> Keyframe:
        """A remembered frame, on the device again."""
        return Keyframe(self.keyframes[index], self.config, self.rasterizer.device)

    def _render(self, frame: Frame, gaussians: GaussianMap) -> Rendering:
        return render(self.rasterizer, gaussians, frame.camera, frame.T_world_camera, self.min_trace_weight)

    def _seed(self, keyframe: Keyframe, rendering: Rendering | None, gaussians: GaussianMap) -> None:
        seeds = seed_surfels(keyframe, unexplained(keyframe, rendering))
        if len(gaussians) + len(seeds) > self.config.max_gaussians:
            self._keep(with_room_for(len(seeds), keyframe, gaussians, self.config.max_gaussians), gaussians)
            room = max(self.config.max_gaussians - len(gaussians), 0)
            self._refuse(len(seeds) - room)
            seeds = seeds.select(slice(0, room))
        self._append(seeds, gaussians)

    def _refuse(self, count: int) -> None:
        if count > 0 and self.num_refused == 0:
            log.warning(
                "the map is full at %d Gaussians: new surfaces are not mapped any more; raise mapping.max_gaussians, "
                "set mapping.crop_radius_m, or map coarser (mapping.width_px)", self.config.max_gaussians
            )  # fmt: skip
        self.num_refused += max(count, 0)

    def _crop(self, gaussians: GaussianMap) -> None:
        if self.config.crop_radius_m > 0:
            recent = [frame.T_world_camera[:3, 3] for frame in self.keyframes[-CROP_KEYFRAMES:]]
            positions_m = torch.tensor(np.array(recent), dtype=torch.float32, device=gaussians.device)
            self._keep(near(gaussians, positions_m, self.config.crop_radius_m), gaussians)

    def _keep(self, rows: Bool[Tensor, " N"], gaussians: GaussianMap) -> None:
        kept = Kept.of(rows)
        gaussians.keep(kept)
        if len(kept.rows) < len(rows):
            self._optimizer.keep(kept)

    def _append(self, added: GaussianMap, gaussians: GaussianMap) -> None:
        gaussians.append(added)
        self._optimizer.grow(gaussians)

    def _remember(self, keyframe: Keyframe) -> None:
        """Keep at most `max_keyframes`: where there are too many, the one that its neighbours replace best goes."""
        self._frames_since_keyframe = 0
        self._newest = keyframe
        self.keyframes.append(keyframe.frame)
        if len(self.keyframes) > self.config.max_keyframes:
            poses = np.stack([frame.T_world_camera for frame in self.keyframes])
            moved_m, turned_deg = motion(poses[:-2], poses[2:])
            self._exposure.forget(self.keyframes.pop(1 + int((moved_m + turned_deg).argmin())).stamp_ns)


def motion(
    T_world_a: Float64[np.ndarray, "*batch 4 4"], T_world_b: Float64[np.ndarray, "*batch 4 4"]
) -> tuple[Float64[np.ndarray, "*batch"], Float64[np.ndarray, "*batch"]]:
    """Distances (m) and angles (deg) between camera poses."""
    moved_m = np.linalg.norm(T_world_a[..., :3, 3] - T_world_b[..., :3, 3], axis=-1)
    trace = (T_world_a[..., :3, :3] * T_world_b[..., :3, :3]).sum(axis=(-2, -1))  # of R_a^T R_b
    turned_deg = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    return np.asarray(moved_m), np.asarray(turned_deg)
