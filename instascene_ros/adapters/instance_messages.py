"""Instances -> InstanceArray."""

from collections.abc import Mapping

import numpy as np
from geometry_msgs.msg import Vector3
from jaxtyping import Float32
from std_msgs.msg import ColorRGBA, Header

from instascene_ros.adapters.stamps import stamp_of_ns
from instascene_ros.adapters.transforms import point_of, pose_of
from instascene_ros.core.instances import Instances, color_of_id
from instascene_ros.msg import BoundingBox3D, Instance, InstanceArray


def color_message(instance_id: int, alpha: float = 1.0) -> ColorRGBA:
    """The stable colour of an id."""
    r, g, b = (channel / 255 for channel in color_of_id(instance_id))
    return ColorRGBA(r=r, g=g, b=b, a=alpha)


def vector_of(values: Float32[np.ndarray, " 3"]) -> Vector3:
    return Vector3(x=float(values[0]), y=float(values[1]), z=float(values[2]))


def instance_message(instances: Instances, row: int, completed_revision: int = 0) -> Instance:
    """One row."""
    i, instance_id = row, int(instances.ids[row])
    return Instance(
        id=instance_id,
        revision=int(instances.revisions[i]),
        state=int(instances.states[i]),
        name=instances.names[i],
        confidence=float(instances.scores[i]),
        observed_fraction=float(instances.observed_fractions[i]),
        bbox=BoundingBox3D(
            center=pose_of(instances.box_centers_m[i], instances.box_quats_wxyz[i]),
            size=vector_of(instances.box_sizes_m[i]),
        ),
        centroid=point_of(instances.centroids_m[i]),
        num_points=int(instances.num_points[i]),
        num_views=int(instances.num_views[i]),
        first_seen=stamp_of_ns(int(instances.first_seen_ns[i])),
        last_seen=stamp_of_ns(int(instances.last_seen_ns[i])),
        merged_ids=[int(merged) for merged in instances.merged_ids[i]],
        completed_revision=completed_revision,
        color=color_message(instance_id),
    )


def instance_array(instances: Instances, map_id: str, header: Header, completed: Mapping[int, int]) -> InstanceArray:
    """The full list; `completed`: revision of each id's completion. Sequence and removals are the caller's."""
    rows = [
        instance_message(instances, row, completed.get(int(instances.ids[row]), 0)) for row in range(len(instances))
    ]
    return InstanceArray(header=header, map_id=map_id, instances=rows)
