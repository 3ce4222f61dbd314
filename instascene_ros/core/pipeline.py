"""The algorithm: posed RGB-D frames in, a surfel map and object instances with stable ids out."""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int32, Int64
from torch import Tensor

from instascene_ros.core import association_state, editing
from instascene_ros.core.camera import Camera
from instascene_ros.core.catalogue import Catalogue
from instascene_ros.core.columns import prefixed, under
from instascene_ros.core.config import Config
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.instances import Instances
from instascene_ros.core.map_file import SavedMap
from instascene_ros.core.mapper import Mapper
from instascene_ros.core.mask_feedback import traced_masks
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.observation import observe_object
from instascene_ros.core.offline.adoption import adopt
from instascene_ros.core.offline.refiner import Refinement, Snapshot
from instascene_ros.core.preparation import prepared, with_masks
from instascene_ros.core.protocols import Inpainter, Segmenter
from instascene_ros.core.removal import HoleFiller
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import render
from instascene_ros.core.selection import IdBuffer, id_buffer, nearest_instance
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
    num_refused: int = 0  # Gaussians that did not fit into the full map, so far


class SceneMapper:
    """Owns the map of one scene. Not thread-safe: one thread owns it."""

    def __init__(
        self,
        config: Config,
        rasterizer: Rasterizer,
        segmenter: Segmenter | None = None,
        inpainter: Inpainter | None = None,
    ) -> None:
        self.config, self.rasterizer, self.segmenter = config, rasterizer, segmenter
        self._filler = HoleFiller(config.mapping, rasterizer, inpainter, UP) if inpainter else None  # else holes stay
        self.reset()

    def reset(self) -> None:
        """Forget everything; ids from before are void, which the new `map_id` says."""
        self.map_id = str(uuid.uuid4())
        self.gaussians = GaussianMap.empty(self.rasterizer.device)
        self.instances = Instances.empty()
        self._mapper = self._new_mapper()
        self._tracker = Tracker(self.config.tracking)
        self._catalogue = Catalogue(self.config.tracking, UP)
        self._labels = torch.zeros(0, dtype=torch.int64, device=self.gaussians.device)
        self._view: tuple[tuple[Camera, bytes], IdBuffer] | None = None  # the latest view that was clicked in

    def snapshot(self) -> SavedMap:
        """All of the scene as it is now, in memory of its own: to show, to save, and to `restore`."""
        state = {
            **prefixed("mapper", self._mapper.columns()),
            **prefixed("association", association_state.columns_of(self._tracker)),
            **prefixed("catalogue", self._catalogue.columns()),
        }
        return SavedMap(self.map_id, self.gaussians.copied(), self.labels(), self.instances, state)

    def restore(self, saved: SavedMap) -> None:
        """Become the scene that was saved: the next frame goes on from there, with the same ids and `map_id`.

        Raises:
            InvalidSceneError: it has no state to go on from, or its parts do not fit together; nothing was changed.
        """
        if saved.state is None:
            raise InvalidSceneError(
                f"map {saved.map_id} can be shown but not gone on from: it was saved by a client or by an "
                "older version; save it with `save_map` or `instascene run`"
            )
        gaussians, mapper = saved.gaussians.copied().to(self.rasterizer.device), self._new_mapper()
        catalogue = Catalogue(self.config.tracking, UP)
        try:
            mapper.restore(under("mapper", saved.state), gaussians)
            association = under("association", saved.state)
            tracker = association_state.tracker_from(association, self.config.tracking, gaussians)
            catalogue.restore(under("catalogue", saved.state), tracker)
        except ValueError as error:
            raise InvalidSceneError(f"the saved scene {saved.map_id} is damaged: {error}; save it again") from error
        self.map_id, self.gaussians = saved.map_id, gaussians
        self._mapper, self._tracker, self._catalogue = mapper, tracker, catalogue
        self._publish(tracker.labels(gaussians), ())

    def process(self, frame: Frame) -> SceneUpdate:
        """Take in one frame.

        Raises:
            InvalidFrameError: it has no usable depth; the map is as before.
        """
        watch, as_it_came = Stopwatch(), frame
        with watch("prepare"):
            frame = prepared(frame, self.config.mapping, self.rasterizer.device)
        if not self._mapper.is_keyframe(frame):
            return self._update(frame, set(), set(), watch, is_keyframe=False)
        with watch("segment"):
            frame = with_masks(frame, as_it_came, self.segmenter)
        with watch("map"):
            keyframe, rendering = self._mapper.integrate(frame, self.gaussians)
        with watch("associate"):
            traced, votes = traced_masks(keyframe, rendering, self._tracker, self.gaussians)
            touched, labels = self._tracker.associate(traced, votes, frame.stamp_ns, self.gaussians)
        with watch("instances"):
            changed, removed = self._publish(labels, touched)
        return self._update(frame, changed, removed, watch, is_keyframe=True)

    def refine(self, hurried: Callable[[], bool] = lambda: False) -> bool:
        """Improve the map on remembered views, longer unless `hurried`: for when an update is published. Did it change?

        What nobody asked for by then the next frame does first.
        """
        return self._mapper.refine(self.gaussians, hurried)

    @property
    def keyframes(self) -> Sequence[Frame]:
        """Remembered keyframes at mapping resolution, oldest first."""
        return tuple(self._mapper.keyframes)

    def labels(self) -> Int32[np.ndarray, " N"]:
        """Published instance of every Gaussian, 0 = none. Crumbs away from an instance's main part are cleared."""
        return self._labels.cpu().numpy().astype(np.int32)

    def observe(self, instance_id: int, max_views: int = 0) -> ObjectObservation:
        """All that completing one object needs.

        Raises:
            UnknownInstanceError: no such id now.
            TooFewPointsError: too little of it was seen.
        """
        editing.check_known([instance_id], self.instances)
        revision = int(self.instances.revisions[self.instances.ids == instance_id][0])
        return observe_object(
            instance_id, revision, self.map_id, self.gaussians, self.labels(), self.keyframes, self.rasterizer, UP,
            max_views or self.config.completion.max_views,
        )  # fmt: skip

    def unrefined(self) -> Snapshot:
        """What `Refiner` works from, which may run beside a paused scene."""
        labels = self._tracker.labels(self.gaussians).cpu().numpy()
        settled = frozenset(i for i, record in self._tracker.records.items() if record.edited)
        return Snapshot(self.gaussians.copied(), tuple(self.keyframes), labels, settled)

    def adopt(self, refinement: Refinement) -> tuple[int, ...]:
        """Publish refined instances; returns the affected ids. Raises InvalidEditError if the map has changed since."""
        affected = adopt(refinement, self._tracker, self.gaussians)
        self._publish_edit(affected)
        return affected

    def merge(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Make several instances one, under the first id, for good; returns the affected ids.

        Raises:
            UnknownInstanceError, InvalidEditError: nothing was changed.
        """
        editing.check_known(ids, self.instances)
        affected = editing.merge(self._tracker, ids)
        self._publish_edit(affected[:1])
        return affected

    def remove(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Take instances and their Gaussians out of the map, and fill the holes; returns the affected ids.

        Raises:
            UnknownInstanceError: nothing was changed.
        """
        editing.check_known(ids, self.instances)
        labels = self._tracker.labels(self.gaussians)
        gone = editing.remove(self._tracker, ids, labels, self.gaussians)
        self._mapper.remove(gone, self.gaussians, labels, self._filler)
        self._publish_edit(ids)
        return tuple(dict.fromkeys(ids))

    def rename(self, instance_id: int, name: str) -> tuple[int, ...]:
        """Name an instance ('' = no name); returns the affected ids.

        Raises:
            UnknownInstanceError: nothing was changed.
        """
        editing.check_known([instance_id], self.instances)
        editing.rename(self._tracker, instance_id, name)
        self._catalogue.relabel(instance_id)
        self._publish_edit(())
        return (instance_id,)

    def id_buffer(self, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]) -> IdBuffer:
        """The instance at every pixel of a view. The latest one is kept: clicks in the same view cost no rendering."""
        key = (camera, T_world_camera.tobytes())
        if self._view is None or self._view[0] != key:
            weight = self.config.tracking.min_trace_weight
            rendering = render(self.rasterizer, self.gaussians, camera, T_world_camera, weight)
            self._view = (key, id_buffer(rendering.trace, self._labels, camera.height, camera.width))
        return self._view[1]

    def instance_near(self, point_m: Float[np.ndarray, " 3"], radius_m: float) -> int:
        """Instance of the labelled surface nearest to a world point.

        Raises:
            InvalidEditError: the point is not finite.
            UnknownInstanceError: none within `radius_m`.
        """
        point = torch.tensor(point_m, dtype=torch.float32, device=self.gaussians.device)
        return nearest_instance(point, self.gaussians.means_m.detach(), self._labels, radius_m)

    def _publish_edit(self, touched: Sequence[int]) -> None:
        self._tracker.recount(self.gaussians)
        self._publish(self._tracker.labels(self.gaussians), touched)

    def _publish(self, labels: Int64[Tensor, " N"], touched: Collection[int]) -> tuple[set[int], set[int]]:
        """Measure what was touched and list what there is; returns the ids that changed and those that are gone."""
        changed, removed, self._labels = self._catalogue.update(self._tracker, self.gaussians, labels, touched)
        self.instances, self._view = self._catalogue.instances(self._tracker), None
        return changed, removed

    def _new_mapper(self) -> Mapper:
        return Mapper(self.config.mapping, self.rasterizer, self.config.tracking.min_trace_weight)

    def _update(
        self, frame: Frame, changed: set[int], removed: set[int], watch: Stopwatch, is_keyframe: bool
    ) -> SceneUpdate:
        return SceneUpdate(
            frame.stamp_ns, self.instances, tuple(sorted(changed)), tuple(sorted(removed)), len(self.gaussians),
            is_keyframe, watch.stage_ms, self._mapper.num_refused,
        )  # fmt: skip
