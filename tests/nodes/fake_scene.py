"""A scene node whose map is one Gaussian a frame: quick, and its answers are known.

Run as `python -m fake_scene`. Each frame puts a Gaussian at the camera's position; where the frame has a mask, it
belongs to the instance whose id is the red of the first pixel.
"""

import time
import uuid
from collections.abc import Callable, Sequence

import numpy as np
import torch

from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.core.config import Config
from instascene_ros.core.editing import check_known
from instascene_ros.core.errors import InvalidEditError, InvalidSceneError, TooFewPointsError, UnknownInstanceError
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.instances import Instances, InstanceState
from instascene_ros.core.map_file import SavedMap
from instascene_ros.core.objects import ObjectObservation, ObjectView
from instascene_ros.core.pipeline import SceneUpdate
from instascene_ros.core.selection import nearest_instance
from instascene_ros.nodes.scene import main

SLOW_BLUE, CRASH_BLUE = 77, 78  # a first pixel of this blue makes the frame take 2 s, or fail as a bug would


class FakeScene:
    rasterizer = None

    def __init__(self, config: Config, node_config: SceneNodeConfig) -> None:
        self.reset()

    def reset(self) -> None:
        self.map_id, self.gaussians = str(uuid.uuid4()), GaussianMap.empty()
        self.instances, self.keyframes, self._labels = Instances.empty(), [], np.zeros(0, np.int32)
        self._names, self._stamp_ns = {}, 0

    def refine(self, hurried: Callable[[], bool] = lambda: False) -> bool:
        return False

    def process(self, frame: Frame) -> SceneUpdate:
        if frame.rgb[0, 0, 2] == SLOW_BLUE:
            time.sleep(3)
        if frame.rgb[0, 0, 2] == CRASH_BLUE:
            raise ZeroDivisionError("a bug")
        position_m = torch.from_numpy(frame.T_world_camera[None, :3, 3].astype(np.float32))
        quats, scales_m = torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 2), 0.01)
        color = torch.from_numpy(frame.rgb[0, :1].astype(np.float32) / 255)
        self.gaussians.append(GaussianMap.from_surfels(position_m, quats, scales_m, torch.full((1,), 0.9), color))
        label = int(frame.rgb[0, 0, 0]) if frame.masks and len(frame.masks) else 0
        self._labels = np.append(self._labels, np.int32(label))
        self.keyframes.append(frame)
        self._stamp_ns = frame.stamp_ns
        self.instances = self._instances(frame.stamp_ns)
        return SceneUpdate(frame.stamp_ns, self.instances, (), (), len(self.gaussians), True, {"fake": 0.1})

    def labels(self) -> np.ndarray:
        return self._labels

    def snapshot(self) -> SavedMap:
        state = {"stamps_ns": np.array([frame.stamp_ns for frame in self.keyframes])}
        return SavedMap(self.map_id, self.gaussians.copied(), self._labels.copy(), self.instances, state)

    def restore(self, saved: SavedMap) -> None:
        if saved.state is None:
            raise InvalidSceneError("nothing to go on from")
        self.map_id, self.gaussians, self.keyframes = saved.map_id, saved.gaussians, []
        self._labels, self.instances = saved.labels, saved.instances
        self._names = dict(zip(saved.instances.ids.tolist(), saved.instances.names, strict=True))

    def merge(self, ids: Sequence[int]) -> tuple[int, ...]:
        check_known(ids, self.instances)
        if len(set(ids)) < 2:
            raise InvalidEditError(f"asked to merge {list(ids)}; expected at least two different instances")
        self._labels[np.isin(self._labels, ids)] = ids[0]
        self.instances = self._instances(self._stamp_ns)
        return tuple(ids)

    def remove(self, ids: Sequence[int]) -> tuple[int, ...]:
        check_known(ids, self.instances)
        kept = ~np.isin(self._labels, ids)
        self.gaussians.keep(torch.from_numpy(kept))
        self._labels = self._labels[kept]
        self.instances = self._instances(self._stamp_ns)
        return tuple(ids)

    def rename(self, instance_id: int, name: str) -> tuple[int, ...]:
        check_known([instance_id], self.instances)
        self._names[instance_id] = name
        self.instances = self._instances(self._stamp_ns)
        return (instance_id,)

    def instance_near(self, point_m: np.ndarray, radius_m: float) -> int:
        means_m, labels = self.gaussians.means_m, torch.from_numpy(self._labels)
        return nearest_instance(torch.tensor(point_m, dtype=torch.float32), means_m, labels, radius_m)

    def observe(self, instance_id: int, max_views: int = 0) -> ObjectObservation:
        if instance_id not in self.instances.ids:
            raise UnknownInstanceError(f"there is no instance {instance_id}")
        mine = torch.from_numpy(self._labels == instance_id)
        if mine.sum() < 2:
            raise TooFewPointsError(f"instance {instance_id} has one point")
        frame = self.keyframes[-1]
        mask = np.where(frame.masks.labels == instance_id, 255, 0).astype(np.uint8)
        views = (ObjectView(frame.camera, frame.rgb, frame.depth_m, mask, frame.T_world_camera),)
        return ObjectObservation(
            self.map_id,
            instance_id,
            1,
            self.gaussians.select(mine),
            self.gaussians.select(~mine),
            views,
            np.array([0, 0, 1.0]),
        )

    def _instances(self, stamp_ns: int) -> Instances:
        ids = np.unique(self._labels[self._labels > 0]).astype(np.int32)
        k = len(ids)
        ones, f3 = np.ones(k, np.int32), np.zeros((k, 3), np.float32)
        centers_m = np.array(
            [self.gaussians.means_m[torch.from_numpy(self._labels == i)].mean(0).numpy() for i in ids], np.float32
        ).reshape(k, 3)
        quats = np.tile(np.array([1, 0, 0, 0], np.float32), (k, 1))
        counts = np.array([(self._labels == i).sum() for i in ids], np.int32)
        stamps = np.full(k, stamp_ns, np.int64)
        return Instances(
            ids, ones, ones * int(InstanceState.CONFIRMED), np.full(k, 0.5, np.float32),
            centers_m, quats, f3 + np.float32(0.1),
            centers_m, counts, ones, stamps, stamps, np.full(k, 0.25, np.float32), ((),) * k,
            tuple(self._names.get(int(i), "") for i in ids),
        )  # fmt: skip


if __name__ == "__main__":
    main(FakeScene)
