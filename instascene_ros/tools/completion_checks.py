"""What a completed object must not do, whatever its shape: fill seen free space, enter others, move what was seen."""

from collections.abc import Sequence

import numpy as np

from instascene_ros.core.frame import Frame
from instascene_ros.core.geometry import landing
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.seen_points import seen_points
from instascene_ros.tools.completion_metric import Surface, TrueObjects

FREE_M, FREE_FRAMES = 0.02, 3  # in front of the depth by more than this in as many frames is free space
NUM_SAMPLES = 5000
CELL_M = 0.003
SPACING_M = 0.004
TABLE_LOW_M, TABLE_HIGH_M = np.array([-0.60, -0.45, -0.03]), np.array([0.60, 0.45, 0.0])  # of the generated scenes


def free_space_violation(surface: Surface, frames: Sequence[Frame]) -> float:
    """Share of the surface that lies clearly in front of the measured depth in several frames."""
    samples_m = surface.samples_m(NUM_SAMPLES)
    in_front = np.zeros(len(samples_m), int)
    for frame in frames:
        _, u, v, z, inside = landing(samples_m, frame.camera, frame.T_world_camera)
        in_front += inside & (z < frame.depth_m[v, u] - FREE_M)
    return float((in_front >= FREE_FRAMES).mean())


def penetration(surface: Surface, truth: TrueObjects, own: int) -> float:
    """Share of the enclosed volume that others or the table take up, counted in cells of 3 mm; NaN for clouds."""
    low, high = surface.mesh.vertices_m.min(0), surface.mesh.vertices_m.max(0)
    axes = [np.arange(a + CELL_M / 2, b, CELL_M) for a, b in zip(low, high, strict=True)]
    cells_m = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    cells_m = cells_m[surface.inside(cells_m)]
    if len(cells_m) == 0:
        return float("nan")
    taken = ((cells_m > TABLE_LOW_M) & (cells_m < TABLE_HIGH_M)).all(-1)
    for i, other in truth.objects.items():
        corners = other.surface.mesh.vertices_m
        if i != own and (corners.max(0) > low).all() and (corners.min(0) < high).all():
            taken |= other.surface.inside(cells_m)
    return float(taken.mean())


def moved_mm(surface: Surface, observation: ObjectObservation) -> float:
    """Mean distance of what was seen of the object, averaged in cells of 4 mm, from the completed surface."""
    points_m = seen_points(observation.views, SPACING_M).points_m
    return float(surface.distance_m(points_m).mean()) * 1e3 if len(points_m) else float("nan")


def apart_mm(surface: Surface, others: Sequence[Surface]) -> float:
    """Mean distance between a surface and others that mean the same object: how far hypotheses differ."""
    samples_m = surface.samples_m(NUM_SAMPLES)
    return float(np.mean([other.distance_m(samples_m).mean() for other in others])) * 1e3 if others else float("nan")
