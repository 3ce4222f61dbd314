"""What completions are compared with each other: by name, each from one observation and a seed to a surface."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from instascene_ros.core.completion import Stage, complete_object
from instascene_ros.core.config import Config
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.protocols import Prior
from instascene_ros.core.seen_points import seen_points
from instascene_ros.models import PRIORS, make_prior

OBSERVED, HULL = "observed surface", "hull of it"
OUTLIERS = 0.01  # share of the points on each side that the hull leaves out


@dataclass(frozen=True)
class Attempt:
    """What one method made of one observation."""

    mesh: Mesh  # without faces: a cloud
    seconds: dict[str, float] = field(default_factory=dict)  # CPU time of each stage
    confidence: float = float("nan")
    observed_fraction: float = float("nan")


Method = Callable[[ObjectObservation, int], Attempt]  # observation, seed


def methods(config: Config) -> dict[str, Method]:
    """The observed surface, its hull, and every prior that is installed."""
    installed = [*PRIORS, "diffusion"] if config.completion.model else PRIORS
    priors = {name: completing(make_prior(name, config), config) for name in installed}
    return {OBSERVED: observed_surface, HULL: hull} | priors


def observed_surface(observation: ObjectObservation, seed: int) -> Attempt:
    """The map's own surfels of the object."""
    return Attempt(Mesh(observation.surfels.means_m.detach().cpu().numpy(), np.zeros((0, 3), np.int32)))


def hull(observation: ObjectObservation, seed: int) -> Attempt:
    """The convex hull of its points, without the outermost ones."""
    points_m = seen_points(observation.views, Config().completion.min_voxel_m).points_m
    low, high = np.percentile(points_m, (100 * OUTLIERS, 100 * (1 - OUTLIERS)), axis=0)
    points_m = points_m[((points_m >= low) & (points_m <= high)).all(-1)]
    try:
        found = ConvexHull(points_m.astype(np.float64))
    except QhullError:
        return observed_surface(observation, seed)
    a, b, c = (found.points[found.simplices[:, k]] for k in range(3))
    inward = (np.cross(b - a, c - a) * found.equations[:, :3]).sum(-1) < 0
    faces = np.where(inward[:, None], found.simplices[:, ::-1], found.simplices)
    return Attempt(Mesh(points_m, faces.astype(np.int32)))


def completing(prior: Prior, config: Config) -> Method:
    """The whole completion with one prior, its stages timed."""

    def complete(observation: ObjectObservation, seed: int) -> Attempt:
        marks: list[tuple[str, float]] = []
        completed = complete_object(
            observation, prior, config.completion, seed,
            progress=lambda stage, *_: marks.append((Stage(stage).name.lower(), time.process_time())),
        )  # fmt: skip
        seconds: dict[str, float] = {}
        for (name, began), (_, ended) in zip(marks, marks[1:], strict=False):
            seconds[name] = seconds.get(name, 0.0) + ended - began
        mesh = Mesh(completed.vertices_m, completed.faces)
        return Attempt(mesh, seconds, completed.confidence, completed.observed_fraction)

    return complete
