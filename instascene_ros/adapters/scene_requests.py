"""Requests about the scene, answered on the scene thread, so that each answer is one moment's."""

import numpy as np
from geometry_msgs.msg import PointStamped
from jaxtyping import Bool
from std_msgs.msg import Header

from instascene_ros.adapters.error_codes import InvalidRequestError, MapChangedError, NoMapError, UnknownTransformError
from instascene_ros.adapters.objects import fill_observation
from instascene_ros.adapters.scene_clouds import instance_cloud
from instascene_ros.adapters.scene_outputs import SceneOutputs
from instascene_ros.adapters.scenes import Scene
from instascene_ros.adapters.transforms import matrix_of_pose
from instascene_ros.core.errors import UnknownInstanceError
from instascene_ros.core.geometry import inverse, transform
from instascene_ros.core.instances import Instances
from instascene_ros.msg import BoundingBox3D
from instascene_ros.srv import GetInstances, ObserveObject

MAX_SELECT_M = 0.25  # a point further from every box was not meant for any of them


def get_instances(scene: Scene, outputs: SceneOutputs, request: GetInstances.Request) -> GetInstances.Response:
    """The list, as published, of the asked ids inside the asked region.

    Raises:
        UnknownInstanceError: an id that is not in the map.
        UnknownTransformError: a frame other than the map frame.
    """
    array, response = outputs.array(scene), GetInstances.Response()
    check_frame("target_frame", request.target_frame, array.header)
    check_frame("region_frame", request.region_frame, array.header)
    _check_known(list(request.ids), scene.instances)
    wanted = _inside(scene.instances, request.region)
    if len(request.ids):
        wanted &= np.isin(scene.instances.ids, request.ids)
    array.instances = [instance for instance, chosen in zip(array.instances, wanted, strict=True) if chosen]
    response.instances = array
    if request.include_clouds and array.instances:
        labels = scene.labels()
        response.clouds = [
            instance_cloud(scene.gaussians, labels, i.id, i.revision, array.header) for i in array.instances
        ]
    if request.include_completed:
        keys = [(scene.map_id, instance.id) for instance in array.instances]
        response.completed = [outputs.completed[key] for key in keys if key in outputs.completed]
    return response


def observe_object(scene: Scene, outputs: SceneOutputs, request: ObserveObject.Request) -> ObserveObject.Response:
    """Everything needed to complete one object.

    Raises:
        InstasceneError: nothing mapped, another map, no such instance, too little seen of it.
    """
    array, response = outputs.array(scene), ObserveObject.Response()
    if request.map_id and request.map_id != scene.map_id:
        raise MapChangedError(
            f"the request is about map {request.map_id} but the map is {scene.map_id} now: ask for the list again"
        )
    if not len(scene.gaussians):
        raise NoMapError("nothing has been mapped yet: are images and poses arriving? (topic status)")
    instance_id = _selected(request, scene, array.header)
    fill_observation(response, scene.observe(instance_id, int(request.max_views)), array.header)
    response.instance = next(instance for instance in array.instances if instance.id == instance_id)
    return response


def check_frame(field: str, frame_id: str, header: Header) -> None:
    """Accept '' and the map frame.

    Raises:
        UnknownTransformError: any other.
    """
    if frame_id.lstrip("/") not in ("", header.frame_id):
        raise UnknownTransformError(
            f"{field} is {frame_id!r}; this node answers in its map_frame {header.frame_id!r} only: "
            "leave the field empty and transform the answer"
        )


def instance_at(scene: Scene, point: PointStamped, header: Header) -> int:
    """Id of the instance whose surface is nearest to the point.

    Raises:
        UnknownTransformError: the point is in another frame.
        InvalidEditError: it is not finite.
        UnknownInstanceError: no instance is near.
    """
    check_frame("point.header.frame_id", point.header.frame_id, header)
    return scene.instance_near(np.array([point.point.x, point.point.y, point.point.z]), MAX_SELECT_M)


def _selected(request: ObserveObject.Request, scene: Scene, header: Header) -> int:
    if request.select_by == 0:
        _check_known([request.instance_id], scene.instances)
        return int(request.instance_id)
    if request.select_by != 1:
        raise InvalidRequestError(f"select_by is {request.select_by}; expected 0 (id) or 1 (point)")
    return instance_at(scene, request.point, header)


def _check_known(ids: list[int], instances: Instances) -> None:
    known = instances.ids.tolist()
    unknown = [asked for asked in ids if asked not in known]
    if unknown:
        raise UnknownInstanceError(f"there is no instance {unknown} in the map; it has {known or 'none yet'}")


def _inside(instances: Instances, region: BoundingBox3D) -> Bool[np.ndarray, " K"]:
    """Instances whose centroid is in the region; all for a region without size."""
    half_m = np.array([region.size.x, region.size.y, region.size.z]) / 2
    if not half_m.any():
        return np.ones(len(instances), bool)
    T_region_map = inverse(matrix_of_pose(region.center))
    return (np.abs(transform(T_region_map, instances.centroids_m)) <= half_m).all(-1)
