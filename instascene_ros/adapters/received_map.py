"""A map as a client receives it: InstanceArray and clouds -> core types."""

import numpy as np
from geometry_msgs.msg import Point, Vector3
from jaxtyping import Float32, Int32
from sensor_msgs.msg import PointCloud2

from instascene_ros.adapters.clouds import columns_of
from instascene_ros.adapters.objects import gaussians_of
from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.core.instances import Instances
from instascene_ros.core.map_file import SavedMap
from instascene_ros.msg import InstanceArray


def instances_of(array: InstanceArray) -> Instances:
    """Inverse of `instance_array`, ordered by id."""
    rows = sorted(array.instances, key=lambda instance: instance.id)

    def floats(values: list, width: int) -> Float32[np.ndarray, "K W"]:
        return np.array(values, np.float32).reshape(len(rows), width)

    return Instances(
        ids=np.array([i.id for i in rows], np.int32),
        revisions=np.array([i.revision for i in rows], np.int32),
        states=np.array([i.state for i in rows], np.int32),
        scores=np.array([i.confidence for i in rows], np.float32),
        box_centers_m=floats([_xyz(i.bbox.center.position) for i in rows], 3),
        box_quats_wxyz=floats([(q.w, q.x, q.y, q.z) for q in (i.bbox.center.orientation for i in rows)], 4),
        box_sizes_m=floats([_xyz(i.bbox.size) for i in rows], 3),
        centroids_m=floats([_xyz(i.centroid) for i in rows], 3),
        num_points=np.array([i.num_points for i in rows], np.int32),
        num_views=np.array([i.num_views for i in rows], np.int32),
        first_seen_ns=np.array([ns_of_stamp(i.first_seen) for i in rows], np.int64),
        last_seen_ns=np.array([ns_of_stamp(i.last_seen) for i in rows], np.int64),
        observed_fractions=np.array([i.observed_fraction for i in rows], np.float32),
        merged_ids=tuple(tuple(int(merged) for merged in i.merged_ids) for i in rows),
        names=tuple(i.name for i in rows),
    )


def saved_map_of(array: InstanceArray, instance_points: PointCloud2, gaussians: PointCloud2) -> SavedMap:
    """The map of three messages of the same moment; `gaussians` is `map/gaussians`. Votes and births did not travel."""
    surfels = gaussians_of(gaussians)
    labelled = columns_of(instance_points)
    labels = _labels_at(
        surfels.means_m.numpy(), np.stack([labelled[axis] for axis in "xyz"], axis=-1), labelled["instance_id"]
    )
    return SavedMap(array.map_id, surfels, labels, instances_of(array))


def _labels_at(
    points_m: Float32[np.ndarray, "N 3"], labelled_m: Float32[np.ndarray, "P 3"], ids: np.ndarray
) -> Int32[np.ndarray, " N"]:
    """Label of each point that is also among the labelled ones (the very same floats), 0 for the others."""
    key = np.dtype((np.void, 12))
    points, known = (np.ascontiguousarray(p, np.float32).view(key).ravel() for p in (points_m, labelled_m))
    if len(known) == 0:
        return np.zeros(len(points), np.int32)
    order = np.argsort(known)
    rank = np.minimum(np.searchsorted(known[order], points), len(known) - 1)
    found = order[rank]
    return np.where(known[found] == points, ids[found], 0).astype(np.int32)


def _xyz(message: Point | Vector3) -> tuple[float, float, float]:
    return message.x, message.y, message.z
