"""The completion route: one observed object in, a whole one out."""

from collections.abc import Callable, Sequence
from enum import IntEnum

import numpy as np
from jaxtyping import Float64

from instascene_ros.core import appearance, meshing, solid
from instascene_ros.core.confidence import confidence, doubts
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.errors import CancelledError, TooFewPointsError
from instascene_ros.core.free_space import gather_evidence
from instascene_ros.core.geometry import points_of_depth, transform
from instascene_ros.core.joint_optimisation import reconciled
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.object_sphere import ObjectSphere
from instascene_ros.core.objects import MASK_OBJECT, CompletedObject, GeneratedView, ObjectObservation
from instascene_ros.core.possible_space import PossibleSpace
from instascene_ros.core.protocols import Prior, Report
from instascene_ros.core.support import Ground
from instascene_ros.core.upright_box import upright_axes, upright_box
from instascene_ros.core.view_gain import gain_cameras
from instascene_ros.core.views import CLOSING, PosedCamera, Rig
from instascene_ros.core.volume import VoxelGrid

FUSED_VIEWS = 8  # of the robot's own from which a reconciled object is rendered, to be fused


class Stage(IntEnum):
    """Values of CompleteObject.action."""

    QUEUED = 0
    OBSERVE = 1
    GENERATE = 2
    OPTIMIZE = 3
    MESH = 4


Progress = Callable[[Stage, float, str], None]  # stage, share of the whole job done (0..1, never falls), words


def _silent(stage: Stage, fraction: float, message: str) -> None:
    """Nobody listens."""


def complete_object(
    observation: ObjectObservation,
    prior: Prior,
    config: CompletionConfig,
    seed: int = 0,
    max_faces: int = 0,
    progress: Progress = _silent,
    cancelled: Callable[[], bool] = lambda: False,
) -> CompletedObject:
    """Complete one object from its observation alone. Same input and seed: same result.

    `max_faces` 0 takes the configured one.

    Raises:
        TooFewPointsError: too little of it was seen.
        CancelledError: `cancelled()` was true between two steps.
    """

    def step(stage: Stage, fraction: float, message: str) -> None:
        if cancelled():
            raise CancelledError(f"completion of instance {observation.instance_id} was cancelled before: {message}")
        progress(stage, fraction, message)

    def part(stage: Stage, first: float, last: float) -> Report:
        return lambda share, message: step(stage, first + share * (last - first), message)

    step(Stage.OBSERVE, 0.0, "checking what was seen")
    check_observation(observation, config)
    step(Stage.GENERATE, 0.05, f"asking the {prior.name} prior for views from all around")
    cameras = _cameras(observation, config)
    generated = prior(observation, cameras, seed, part(Stage.GENERATE, 0.05, 0.5))
    if not prior.exact:
        step(Stage.OPTIMIZE, 0.5, "a first guess from the generated views as they are")
        guess, cameras = _fused_mesh(observation, generated, config), [*cameras, *_best_cameras(observation)]
        optimised = part(Stage.OPTIMIZE, 0.52, 0.7)
        generated = reconciled(observation, generated, guess, cameras, config, seed, optimised)
    step(Stage.OPTIMIZE, 0.7, f"fusing {len(observation.views)} seen and {len(generated)} generated views")
    mesh = _fused_mesh(observation, generated, config)
    step(Stage.MESH, 0.8, f"simplifying {len(mesh.faces)} faces")
    mesh = meshing.decimated(mesh, max_faces or config.max_faces)
    step(Stage.MESH, 0.9, "colouring")
    completed = _describe(observation, generated, mesh, prior.name, seed, config)
    words = f"{len(mesh.faces)} faces, {completed.observed_fraction:.0%} of the surface observed"
    step(Stage.MESH, 1.0, f"{words}; {completed.warning}" if completed.warning else words)
    return completed


def check_observation(observation: ObjectObservation, config: CompletionConfig) -> None:
    """Raises TooFewPointsError: fewer points or views than completion needs."""
    points = len(observation.surfels)
    views = sum(bool((view.mask == MASK_OBJECT).any()) for view in observation.views)
    if points < config.min_points or views < config.min_views:
        raise TooFewPointsError(
            f"instance {observation.instance_id} has {points} points in {views} views; completing it needs "
            f"{config.min_points} points and {config.min_views} views: look at it longer, or from nearer"
        )


def _cameras(observation: ObjectObservation, config: CompletionConfig) -> list[PosedCamera]:
    """The paper's ring (supplement, section 7), and what closes it; or as many that add most.

    Raises:
        ValueError: `view_choice` is neither ring nor gain.
    """
    sphere = ObjectSphere.around(observation, config.min_voxel_m)
    rings = ((config.ring_elevation_deg, config.ring_views), *CLOSING)
    if config.view_choice == "gain":
        space = PossibleSpace.within(sphere, observation, config)
        return gain_cameras(space, observation, sum(count for _, count in rings), config.ring_width_px)
    if config.view_choice != "ring":
        raise ValueError(f"completion.view_choice is {config.view_choice!r}; expected ring or gain")
    return Rig.rings(rings, config.ring_width_px).cameras(sphere.center_m, sphere.radius_m, observation.up)


def _best_cameras(observation: ObjectObservation) -> list[PosedCamera]:
    return [(view.camera, view.T_world_camera) for view in observation.views[:FUSED_VIEWS]]


def _fused_mesh(observation: ObjectObservation, generated: Sequence[GeneratedView], config: CompletionConfig) -> Mesh:
    """Raises TooFewPointsError: nothing solid is left, as when every point is contradicted by other views."""
    points_m = np.concatenate([_points_of(view) for view in generated])
    if len(points_m) == 0:
        raise TooFewPointsError(f"the prior saw no shape in instance {observation.instance_id}: look at it longer")
    grid = VoxelGrid.around(
        points_m, upright_axes(points_m, observation.up), 0.008, config.max_voxels, config.min_voxel_m
    )
    evidence = gather_evidence(grid, observation.views, config.depth_noise_m)
    generated_m = solid.solid_of_views(grid, generated)
    field = solid.fuse(evidence, generated_m)
    floor_m = Ground.seen_under(observation, config.min_voxel_m).floor_m
    if floor_m is not None:  # masks run over the foot, and what is just behind their pixels counts as the object's
        field = solid.above_floor(field, grid, floor_m, observation.up)
    mesh = meshing.mesh_of_field(grid, solid.seen_parts(field, evidence))
    if len(mesh.faces) == 0:  # the views contradict each other, as when it moved: the prior has seen that, too
        mesh = meshing.mesh_of_field(grid, solid.seen_parts(generated_m, evidence))
    if len(mesh.faces) == 0:
        raise TooFewPointsError(
            f"nothing solid is left of instance {observation.instance_id}: the views contradict its points; "
            "is it moving, or is the camera pose wrong?"
        )
    return meshing.smoothed(mesh, config.smoothing_iterations)


def _points_of(view: GeneratedView) -> Float64[np.ndarray, "P 3"]:
    points_m = transform(view.T_world_camera, points_of_depth(view.depth_m, view.camera).astype(np.float64))
    return points_m[(view.alpha > 0.5) & (view.depth_m > 0)]


def _describe(
    observation: ObjectObservation,
    generated: Sequence[GeneratedView],
    mesh: Mesh,
    method: str,
    seed: int,
    config: CompletionConfig,
) -> CompletedObject:
    colors, observed = appearance.paint(mesh, observation.views, generated, config.observed_tolerance_m)
    area_m2 = mesh.face_areas_m2()
    fraction = float((observed[mesh.faces].mean(-1) * area_m2).sum() / max(float(area_m2.sum()), 1e-12))
    T_world_object, size_m = upright_box(mesh.vertices_m, observation.up)
    trust = confidence(mesh, fraction, float(np.linalg.norm(size_m)))
    return CompletedObject(
        observation.map_id, observation.instance_id, observation.instance_revision,
        mesh.vertices_m, mesh.faces, colors, observed, T_world_object, size_m,
        meshing.is_watertight(mesh), trust, fraction, method, seed, doubts(observation, mesh, fraction, config),
    )  # fmt: skip
