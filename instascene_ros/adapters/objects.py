"""Everything that completing one object needs: ObjectObservation <-> the response of ObserveObject."""

import numpy as np
import torch
from jaxtyping import Float32
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from instascene_ros.adapters.camera_infos import camera_of, info_of
from instascene_ros.adapters.clouds import SURFEL_FIELDS, cloud_of, columns_of
from instascene_ros.adapters.images import decode, decode_depth_m, decode_rgb, encode
from instascene_ros.adapters.transforms import matrix_of_pose, pose_of_matrix
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.objects import ObjectObservation, ObjectView
from instascene_ros.msg import ObjectView as ObjectViewMessage
from instascene_ros.srv import ObserveObject

UP = (0.0, 0.0, 1.0)  # the map frame's z axis points up (REP-103)


def surfel_columns(gaussians: GaussianMap) -> Float32[np.ndarray, "N 13"]:
    """Rows in the order of SURFEL_FIELDS: m, wxyz, standard deviations in m, opacity and colour 0..1."""
    parts = [
        gaussians.means_m,
        gaussians.quats_wxyz,
        gaussians.scales_m,
        gaussians.opacities[:, None],
        gaussians.colors,
    ]
    return torch.cat(parts, dim=-1).detach().cpu().numpy()


def surfel_cloud(gaussians: GaussianMap, header: Header) -> PointCloud2:
    """The surfels as a cloud; votes, confidence and birth stay with the map."""
    return cloud_of(header, dict(zip(SURFEL_FIELDS, surfel_columns(gaussians).T, strict=True)))


def gaussians_of(cloud: PointCloud2) -> GaussianMap:
    """Surfels of a cloud with the fields of `surfel_cloud`, on the CPU.

    Raises:
        InvalidFrameError: a field is missing or the data are truncated.
    """
    columns = columns_of(cloud)
    missing = [name for name in SURFEL_FIELDS if name not in columns]
    if missing:
        raise InvalidFrameError(f"surfel cloud lacks the fields {missing}; it has {list(columns)}")
    rows = torch.from_numpy(np.stack([columns[name] for name in SURFEL_FIELDS], axis=-1).astype(np.float32))
    means_m, quats_wxyz, scales_m, opacities, colors = rows.split([3, 4, 2, 1, 3], dim=-1)
    return GaussianMap.from_surfels(means_m, quats_wxyz, scales_m, opacities[:, 0], colors)


def view_message(view: ObjectView, header: Header) -> ObjectViewMessage:
    """One look at the object; the pose is that of the optical frame in the header's frame."""
    return ObjectViewMessage(
        color=encode(view.rgb, "rgb8", header),
        depth=encode(view.depth_m, "32FC1", header),
        mask=encode(view.mask, "mono8", header),
        camera_info=info_of(view.camera, header),
        camera_pose=pose_of_matrix(view.T_world_camera),
    )


def view_of(message: ObjectViewMessage) -> ObjectView:
    """Inverse of `view_message`.

    Raises:
        InvalidFrameError: an image that cannot be decoded, or images that differ in size from the camera.
    """
    camera = camera_of(message.camera_info)
    images = {
        "colour": decode_rgb(message.color),
        "depth": decode_depth_m(message.depth),
        "mask": decode(message.mask, ("mono8",)),
    }
    for name, pixels in images.items():
        if pixels.shape[:2] != (camera.height, camera.width):
            raise InvalidFrameError(
                f"{name} of a view is {pixels.shape[1]}x{pixels.shape[0]} px "
                f"but its camera is {camera.width}x{camera.height} px"
            )
    return ObjectView(camera, images["colour"], images["depth"], images["mask"], matrix_of_pose(message.camera_pose))


def fill_observation(response: ObserveObject.Response, observation: ObjectObservation, header: Header) -> None:
    """Write an observation into a response; its `instance` is filled by the caller, who has the list."""
    response.header, response.map_id = header, observation.map_id
    response.surfels = surfel_cloud(observation.surfels, header)
    response.context = surfel_cloud(observation.context, header)
    response.views = [view_message(view, header) for view in observation.views]


def observation_of(response: ObserveObject.Response) -> ObjectObservation:
    """The observation in a response without error.

    Raises:
        InvalidFrameError: a cloud or a view that does not follow the interface.
    """
    return ObjectObservation(
        map_id=response.map_id,
        instance_id=int(response.instance.id),
        instance_revision=int(response.instance.revision),
        surfels=gaussians_of(response.surfels),
        context=gaussians_of(response.context),
        views=tuple(view_of(view) for view in response.views),
        up=np.array(UP),
    )
