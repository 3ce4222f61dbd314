"""A completed object <-> CompletedObject.msg."""

import numpy as np
from geometry_msgs.msg import Vector3
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from instascene_ros.adapters.clouds import cloud_of, columns_of, pack_rgb, unpack_rgb, xyz_columns
from instascene_ros.adapters.mesh_messages import arrays_of_mesh, mesh_message
from instascene_ros.adapters.transforms import matrix_of_pose, pose_of_matrix
from instascene_ros.core.geometry import inverse, transform
from instascene_ros.core.objects import CompletedObject
from instascene_ros.msg import CompletedObject as CompletedObjectMessage
from instascene_ros.msg import Instance


def completed_cloud(completed: CompletedObject, header: Header) -> PointCloud2:
    """The mesh vertices in the map frame; `source` says which of them were seen."""
    invented = CompletedObjectMessage.SOURCE_COMPLETED
    source = np.where(completed.observed, CompletedObjectMessage.SOURCE_OBSERVED, invented).astype(np.uint8)
    return cloud_of(header, xyz_columns(completed.vertices_m) | {"rgb": pack_rgb(completed.colors), "source": source})


def completed_message(completed: CompletedObject, instance: Instance, header: Header) -> CompletedObjectMessage:
    """The message of a completed object; `header` is that of the observation it was made from.

    `mesh_resource` and `processing_time` are left to the caller.
    """
    x, y, z = completed.size_m.tolist()
    vertices_object_m = transform(inverse(completed.T_world_object), completed.vertices_m)
    return CompletedObjectMessage(
        header=header,
        map_id=completed.map_id,
        instance_id=completed.instance_id,
        instance_revision=completed.instance_revision,
        name=instance.name,
        labels=instance.labels,
        pose=pose_of_matrix(completed.T_world_object),
        size=Vector3(x=x, y=y, z=z),
        mesh=mesh_message(vertices_object_m, completed.faces),
        watertight=completed.watertight,
        cloud=completed_cloud(completed, header),
        confidence=completed.confidence,
        observed_fraction=completed.observed_fraction,
        method=completed.method,
        seed=completed.seed,
    )


def completed_of(message: CompletedObjectMessage) -> CompletedObject:
    """What a client gets back: the object in the frame of the message's header.

    Vertices come from the mesh, colours and flags from the cloud, whose points are the vertices in the same order.
    """
    T_world_object = matrix_of_pose(message.pose)
    columns, size = columns_of(message.cloud), message.size
    vertices_object_m, faces = arrays_of_mesh(message.mesh)
    return CompletedObject(
        map_id=message.map_id,
        instance_id=int(message.instance_id),
        instance_revision=int(message.instance_revision),
        vertices_m=transform(T_world_object, vertices_object_m).astype(np.float32),
        faces=faces,
        colors=unpack_rgb(columns["rgb"]),
        observed=columns["source"] == CompletedObjectMessage.SOURCE_OBSERVED,
        T_world_object=T_world_object,
        size_m=np.array([size.x, size.y, size.z], np.float32),
        watertight=message.watertight,
        confidence=message.confidence,
        observed_fraction=message.observed_fraction,
        method=message.method,
        seed=int(message.seed),
    )
