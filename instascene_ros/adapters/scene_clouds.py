"""The map and its instances as clouds."""

import numpy as np
from jaxtyping import Int32
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from instascene_ros.adapters.clouds import cloud_of, pack_rgb, xyz_columns
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.msg import InstanceCloud


def map_cloud(gaussians: GaussianMap, header: Header, max_points: int) -> PointCloud2:
    """x y z rgb of every Gaussian, evenly thinned to at most `max_points`."""
    rows = np.arange(0, len(gaussians), -(-len(gaussians) // max_points) or 1)
    points_m, colors = gaussians.means_m.detach().cpu().numpy()[rows], gaussians.colors.detach().cpu().numpy()[rows]
    return cloud_of(header, {**xyz_columns(points_m), "rgb": pack_rgb(colors)})


def instances_cloud(gaussians: GaussianMap, labels: Int32[np.ndarray, " N"], header: Header) -> PointCloud2:
    """x y z rgb instance_id of every Gaussian that belongs to an instance."""
    columns = _columns(gaussians, labels > 0)
    return cloud_of(header, {**columns, "instance_id": labels[labels > 0].astype(np.uint32)})


def instance_cloud(
    gaussians: GaussianMap, labels: Int32[np.ndarray, " N"], instance_id: int, revision: int, header: Header
) -> InstanceCloud:
    """x y z rgb normal_x normal_y normal_z confidence of one instance; the sign of a normal is not known."""
    rows = labels == instance_id
    normals = gaussians.normals.detach().cpu().numpy()[rows]
    columns = {
        **_columns(gaussians, rows),
        **{f"normal_{axis}": normals[:, i] for i, axis in enumerate("xyz")},
        "confidence": gaussians.confidence.detach().cpu().numpy()[rows],
    }
    return InstanceCloud(instance_id=instance_id, revision=revision, cloud=cloud_of(header, columns))


def _columns(gaussians: GaussianMap, rows: np.ndarray) -> dict[str, np.ndarray]:
    points_m = gaussians.means_m.detach().cpu().numpy()[rows]
    return {**xyz_columns(points_m), "rgb": pack_rgb(gaussians.colors.detach().cpu().numpy()[rows])}
