"""How far a completed object can be trusted, and in words, where it cannot."""

from collections.abc import Sequence

import numpy as np

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.geometry import transform
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.core.objects import MASK_OBJECT, ObjectObservation, ObjectView
from instascene_ros.core.seen_points import seen_points

SEEN_ERROR_M = 0.0015  # by which seen surface is off, typically
HIDDEN_ERROR_SHARE = 0.01  # the same for invented surface, in shares of the object's size
SPACING_M = 0.004
FEW_VIEWS, NARROW_DEG = 4, 15.0
LITTLE_SEEN = 0.2  # of the surface
STRAYING_M, STRAYING_SHARE = 0.008, 0.2  # seen points this far from the result, and how many are too many


def confidence(mesh: Mesh, observed_fraction: float, size_m: float) -> float:
    """Expected volume IoU with the true object, 0..1.

    A surface that is off by e over an area A changes a volume V by about e A: thin objects suffer most, and so do
    those of which little was seen.
    """
    hidden_error_m = SEEN_ERROR_M + HIDDEN_ERROR_SHARE * size_m
    error_m = observed_fraction * SEEN_ERROR_M + (1 - observed_fraction) * hidden_error_m
    changed = error_m * float(mesh.face_areas_m2().sum()) / max(mesh.volume_m3, 1e-9)
    return float(np.exp(-changed))


def doubts(observation: ObjectObservation, mesh: Mesh, observed_fraction: float, config: CompletionConfig) -> str:
    """Why the result should not be trusted, in a sentence; '' where nothing speaks against it.

    What completion fails on: few views, from a narrow angle, or views that contradict each other.
    """
    looks = [view for view in observation.views if (view.mask == MASK_OBJECT).any()]
    reasons = []
    if len(looks) < FEW_VIEWS:
        reasons.append(f"it was seen in {len(looks)} views")
    elif (angle_deg := _angle_deg(looks, mesh)) < NARROW_DEG:
        reasons.append(f"all {len(looks)} views are within {angle_deg:.0f} degrees")
    if observed_fraction < LITTLE_SEEN:
        reasons.append(f"{observed_fraction:.0%} of its surface was observed")
    points_m = seen_points(looks, max(SPACING_M, config.min_voxel_m)).points_m
    straying = float((RayCaster(mesh).distance_m(points_m) > STRAYING_M).mean()) if len(points_m) else 1.0
    if straying > STRAYING_SHARE:
        reasons.append(f"views contradict {straying:.0%} of the points that others saw (has it moved?)")
    return f"poor: {', '.join(reasons)}; look at it again" if reasons else ""


def _angle_deg(looks: Sequence[ObjectView], mesh: Mesh) -> float:
    """Largest angle between two directions that the object was looked at from."""
    center_m = mesh.vertices_m.mean(0).astype(np.float64)
    toward = np.stack([transform(look.T_world_camera, np.zeros(3)) - center_m for look in looks])
    toward /= np.maximum(np.linalg.norm(toward, axis=1, keepdims=True), 1e-9)
    return float(np.degrees(np.arccos(np.clip(toward @ toward.T, -1, 1)).max()))
