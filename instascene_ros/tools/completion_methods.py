"""What completions are compared with each other: by name, each from one observation and a seed to a surface."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from instascene_ros.core.completion import Stage, complete_object
from instascene_ros.core.config import Config
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.objects import GeneratedView, ObjectObservation
from instascene_ros.core.protocols import Prior
from instascene_ros.core.seen_points import seen_points
from instascene_ros.models import PRIORS, chosen_prior, make_prior
from instascene_ros.tools.oracle import SceneOracle

OBSERVED, HULL = "observed surface", "hull of it"
RING_OF = 4  # a short ring, to see what choosing views is worth where there are few
OUTLIERS = 0.01  # share of the points on each side that the hull leaves out


@dataclass(frozen=True)
class Attempt:
    """What one method made of one observation."""

    mesh: Mesh  # without faces: a cloud
    seconds: dict[str, float] = field(default_factory=dict)  # CPU time of each stage
    confidence: float = float("nan")
    observed_fraction: float = float("nan")


Method = Callable[[ObjectObservation, int], Attempt]  # observation, seed


def methods(config: Config, truths: Sequence[Mesh]) -> dict[str, Method]:
    """The observed surface, its hull, every prior that is installed, and the oracle, which is the ceiling."""
    installed = PRIORS if chosen_prior("auto", config) in PRIORS else [*PRIORS, "diffusion"]
    priors = {name: completing(make_prior(name, config), config) for name in installed}
    oracle = SceneOracle(truths, config.completion)
    return {OBSERVED: observed_surface, HULL: hull} | priors | {oracle.name: completing(oracle, config)}


def ablations(config: Config, truths: Sequence[Mesh]) -> dict[str, Method]:
    """Asked for by name: views fused as they are or reconciled first, and views by gain instead of rings."""
    geometric, oracle = make_prior("geometric", config), SceneOracle(truths, config.completion)
    gain = replace(config, completion=replace(config.completion, view_choice="gain"))
    few = replace(config, completion=replace(config.completion, ring_views=RING_OF))
    few_gain = replace(gain, completion=replace(gain.completion, ring_views=RING_OF))
    return {
        "geometric, reconciled": completing(Declared(geometric, False), config),
        "oracle, fused": completing(Declared(oracle, True), config),
        "geometric, by gain": completing(geometric, gain),
        f"geometric, ring of {RING_OF}": completing(geometric, few),
        f"geometric, by gain as many as a ring of {RING_OF}": completing(geometric, few_gain),
    }


class Declared:
    """A prior that says of its views what it is told to say."""

    def __init__(self, prior: Prior, exact: bool) -> None:
        self.name, self.exact, self._prior = prior.name, exact, prior

    def __call__(self, *asked: Any) -> list[GeneratedView]:
        """See `Prior`."""
        return self._prior(*asked)


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
