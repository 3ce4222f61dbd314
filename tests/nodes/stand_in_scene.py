"""A scene node without a mapper: serves `observe_object` of three known objects and publishes their list.

`hold` (SetBool) makes it withhold answers; `reset` (Trigger) gives the map a new id. As a process:
`python -m stand_in_scene`.
"""

import sys
from threading import Event

import numpy as np
import torch
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from scenes import SyntheticScene, tabletop, three_objects
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from instascene_ros.adapters.error_codes import Codes
from instascene_ros.adapters.objects import fill_observation
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.spinning import run
from instascene_ros.adapters.stamps import stamp_of_ns
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import normals_of_depth, points_of_depth, quats_from_normals, transform
from instascene_ros.core.objects import MASK_OBJECT, ObjectObservation, ObjectView
from instascene_ros.msg import Instance, InstanceArray
from instascene_ros.srv import ObserveObject

MAP_FRAME = "odom"
STAMP_NS = 12_345_678_901
SURFEL_M = 0.004
NEAR_M = 0.1  # a point further from every object than this selects none
NUM_THREADS = 4


def surfels_of(frame: Frame, chosen: np.ndarray) -> GaussianMap:
    """A surfel for every chosen pixel that has a normal."""
    normals = normals_of_depth(frame.depth_m, frame.camera)
    chosen = chosen & (normals != 0).any(-1)
    points_m = transform(frame.T_world_camera, points_of_depth(frame.depth_m, frame.camera)[chosen])
    turned = normals[chosen] @ frame.T_world_camera[:3, :3].T.astype(np.float32)
    n = len(points_m)
    colors = torch.from_numpy(frame.rgb[chosen].astype(np.float32) / 255)
    quats = quats_from_normals(torch.from_numpy(turned))
    return GaussianMap.from_surfels(
        torch.from_numpy(points_m.astype(np.float32)),
        quats,
        torch.full((n, 2), SURFEL_M),
        torch.full((n,), 0.9),
        colors,
    )


def observation_of_truth(scene: SyntheticScene, instance_id: int, map_id: str) -> ObjectObservation:
    """What a perfect mapper would say of one object."""
    own, context, views = GaussianMap.empty(), GaussianMap.empty(), []
    for frame, ids in zip(scene.frames, scene.instances, strict=True):
        mask = ids == instance_id
        own.append(surfels_of(frame, mask))
        context.append(surfels_of(frame, ~mask & (frame.depth_m > 0)))
        shown = np.where(mask, MASK_OBJECT, 0).astype(np.uint8)
        views.append(ObjectView(frame.camera, frame.rgb, frame.depth_m, shown, frame.T_world_camera))
    center_m = own.means_m.mean(0)
    near = (context.means_m - center_m).norm(dim=-1) < 0.25
    near, up = context.select(near), np.array([0, 0, 1.0])
    return ObjectObservation(map_id, instance_id, 1, own, near, tuple(views), up)


class StandInScene(Node):
    """Node `scene` for tests of others."""

    crash: BaseException | None = None

    def __init__(self) -> None:
        super().__init__("scene")
        group = ReentrantCallbackGroup()
        self._scene = tabletop(three_objects(), num_frames=6)
        self._centers_m = {i: mesh.vertices_m.mean(0) for i, mesh in self._scene.objects.items()}
        self._answering = Event()
        self._answering.set()
        self._num_maps = 0
        self._instances = self.create_publisher(InstanceArray, "instances", latched_qos())
        self.create_service(ObserveObject, "observe_object", self._observe, callback_group=group)
        self.create_service(SetBool, "hold", self._hold, callback_group=group)
        self.create_service(Trigger, "reset", self._reset, callback_group=group)
        self._new_map()
        print("stand-in scene is up", flush=True)

    def close(self) -> None:
        self._answering.set()

    def _new_map(self) -> None:
        self._num_maps += 1
        self.map_id = f"map-{self._num_maps}"
        rows = [Instance(id=i, revision=1, state=Instance.STATE_CONFIRMED) for i in self._scene.objects]
        self._instances.publish(InstanceArray(header=self._header(), map_id=self.map_id, instances=rows))

    def _header(self) -> Header:
        return Header(frame_id=MAP_FRAME, stamp=stamp_of_ns(STAMP_NS))

    def _hold(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        (self._answering.clear if request.data else self._answering.set)()
        response.success = True
        return response

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._new_map()
        response.success = True
        return response

    def _observe(self, request: ObserveObject.Request, response: ObserveObject.Response) -> ObserveObject.Response:
        self._answering.wait()
        print(f"observe {request.instance_id}", flush=True)
        response.error_code, response.error_msg, instance_id = self._select(request)
        if response.error_code == Codes.NONE:
            observation = observation_of_truth(self._scene, instance_id, self.map_id)
            fill_observation(response, observation, self._header())
            response.instance = Instance(id=instance_id, revision=1, name="mug", state=Instance.STATE_CONFIRMED)
        return response

    def _select(self, request: ObserveObject.Request) -> tuple[int, str, int]:
        if request.map_id not in ("", self.map_id):
            return Codes.MAP_CHANGED, f"the map is {self.map_id} now", 0
        instance_id = int(request.instance_id)
        if request.select_by == ObserveObject.Request().select_by + 1:
            p = request.point.point
            distances_m = {i: np.linalg.norm(c - [p.x, p.y, p.z]) for i, c in self._centers_m.items()}
            instance_id = min(distances_m, key=distances_m.get)
            if distances_m[instance_id] > NEAR_M:
                return Codes.NO_SUCH_INSTANCE, "no instance is near that point", 0
        if instance_id not in self._scene.objects:
            return Codes.NO_SUCH_INSTANCE, f"there is no instance {instance_id}", 0
        return Codes.NONE, "", instance_id


if __name__ == "__main__":
    sys.exit(run(StandInScene, NUM_THREADS))
