"""The algorithm: posed RGB-D frames in, a surfel map and object instances with stable ids out."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int32

from instascene_ros.core import depth
from instascene_ros.core.catalogue import Catalogue
from instascene_ros.core.config import Config
from instascene_ros.core.crumbs import without_crumbs
from instascene_ros.core.errors import InvalidFrameError, UnknownInstanceError
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.instances import Instances
from instascene_ros.core.mapper import Mapper
from instascene_ros.core.masks import Masks
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.observation import observe_object
from instascene_ros.core.protocols import Segmenter
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import Rendering
from instascene_ros.core.segments import MaskTrace
from instascene_ros.core.stopwatch import Stopwatch
from instascene_ros.core.tracker import Tracker

UP = np.array([0.0, 0.0, 1.0])  # the map frame's z is up (REP-103)


@dataclass(frozen=True)
class SceneUpdate:
    """What one frame changed."""

    stamp_ns: int
    instances: Instances
    changed_ids: tuple[int, ...]
    removed_ids: tuple[int, ...]
    num_gaussians: int
    is_keyframe: bool
    stage_ms: dict[str, float]


class SceneMapper:
    """Owns the map of one scene. Not thread-safe: one thread owns it."""

    def __init__(self, config: Config, rasterizer: Rasterizer, segmenter: Segmenter | None = None) -> None:
        self.config = config
        self.rasterizer = rasterizer
        self.segmenter = segmenter
        self.reset()

    def reset(self) -> None:
        """Forget everything; ids from before are void, which the new `map_id` says."""
        self.map_id = str(uuid.uuid4())
        self.gaussians = GaussianMap.empty(self.rasterizer.device)
        self.instances = Instances.empty()
        self._mapper = Mapper(self.config.mapping, self.rasterizer, self.config.tracking.min_trace_weight)
        self._tracker = Tracker(self.config.tracking)
        self._catalogue = Catalogue(self.config.tracking, UP)

    def process(self, frame: Frame) -> SceneUpdate:
        """Take in one frame.

        Raises:
            InvalidFrameError: it has no usable depth; the map is as before.
        """
        watch = Stopwatch()
        with watch("prepare"):
            frame = self._prepare(frame)
        if not self._mapper.is_keyframe(frame):
            return self._update(frame, set(), set(), watch, is_keyframe=False)
        with watch("segment"):
            frame = self._with_masks(frame)
        with watch("map"):
            rendering = self._mapper.integrate(frame, self.gaussians)
        with watch("associate"):
            traced = self._trace(frame, rendering)
            touched, labels = self._tracker.associate(traced, frame.stamp_ns, self.gaussians)
        with watch("instances"):
            changed, removed = self._catalogue.update(self._tracker, self._means_m(), labels.cpu().numpy(), touched)
            self.instances = self._catalogue.instances(self._tracker)
        return self._update(frame, changed, removed, watch, is_keyframe=True)

    @property
    def keyframes(self) -> Sequence[Frame]:
        """Remembered keyframes at mapping resolution, oldest first."""
        return tuple(self._mapper.keyframes)

    def labels(self) -> Int32[np.ndarray, " N"]:
        """Published instance of every Gaussian, 0 = none. Crumbs away from an instance's main part are cleared."""
        labels = self._tracker.labels(self.gaussians).cpu().numpy()
        published = np.where(np.isin(labels, self.instances.ids), labels, 0)
        return without_crumbs(self._means_m(), published, self.config.tracking)

    def observe(self, instance_id: int, max_views: int = 0) -> ObjectObservation:
        """All that completing one object needs.

        Raises:
            UnknownInstanceError: no such id now.
            TooFewPointsError: too little of it was seen.
        """
        known = self.instances.ids.tolist()
        if instance_id not in known:
            raise UnknownInstanceError(f"there is no instance {instance_id} in the map; it has {known or 'none yet'}")
        revision = int(self.instances.revisions[known.index(instance_id)])
        return observe_object(
            instance_id, revision, self.map_id, self.gaussians, self.labels(), self.keyframes, self.rasterizer, UP,
            max_views or self.config.completion.max_views,
        )  # fmt: skip

    def _means_m(self) -> Float32[np.ndarray, "N 3"]:
        return self.gaussians.means_m.detach().cpu().numpy()

    def _prepare(self, frame: Frame) -> Frame:
        width_px = self.config.mapping.width_px or (640 if self.rasterizer.device == "cuda" else 320)
        frame = frame.resized(min(width_px, frame.camera.width))
        if not depth.usable(frame.depth_m, self.config.mapping).any():
            low_m, high_m = self.config.mapping.min_depth_m, self.config.mapping.max_depth_m
            raise InvalidFrameError(
                f"no pixel has depth between {low_m} m and {high_m} m "
                "(mapping.min_depth_m, mapping.max_depth_m): is the depth image empty, or in other units?"
            )
        return frame

    def _with_masks(self, frame: Frame) -> Frame:
        if frame.masks is not None:
            return frame
        empty = Masks.empty(frame.camera.height, frame.camera.width)
        return replace(frame, masks=self.segmenter(frame) if self.segmenter else empty)

    def _trace(self, frame: Frame, rendering: Rendering) -> MaskTrace:
        mapped_m = rendering.depth_m.cpu().numpy()
        showing = np.abs(mapped_m - frame.depth_m) < 2 * depth.tolerance_m(frame.depth_m, self.config.mapping)
        return MaskTrace.of(frame.masks, showing & frame.valid, rendering.trace, self.config.tracking)

    def _update(
        self, frame: Frame, changed: set[int], removed: set[int], watch: Stopwatch, is_keyframe: bool
    ) -> SceneUpdate:
        return SceneUpdate(
            frame.stamp_ns, self.instances, tuple(sorted(changed)), tuple(sorted(removed)), len(self.gaussians),
            is_keyframe, watch.stage_ms,
        )  # fmt: skip
