"""Oriented boxes."""

import numpy as np
from jaxtyping import Float32, Float64
from scipy.spatial.transform import Rotation

from instascene_ros.core.instances import Instances


def distances_to_boxes_m(point_m: Float64[np.ndarray, " 3"], instances: Instances) -> Float32[np.ndarray, " K"]:
    """Distance of a world point from each instance's box, m; 0 inside."""
    if not len(instances):
        return np.zeros(0, np.float32)
    Rs_world_box = Rotation.from_quat(instances.box_quats_wxyz, scalar_first=True)
    local_m = Rs_world_box.inv().apply(point_m - instances.box_centers_m)
    outside_m = np.maximum(np.abs(local_m) - instances.box_sizes_m / 2, 0)
    return np.linalg.norm(outside_m, axis=-1).astype(np.float32)
