"""Objects dropped one by one onto the table until they rest. Needs mujoco, a development-only dependency."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from instascene_ros.core.errors import BackendUnavailableError, InvalidSceneError
from instascene_ros.tools.scene_generator.surfaces import Model, Placed

DENSITY_KG_M3 = 350.0
PARK_M = 4.0  # objects that wait stand this far away, out of everybody's reach
DROP_S, REST_S = 1.2, 2.0
STILL_M = 0.0007  # most that an object may move while it rests
TRIES = 60
# Twenty objects that fall into one another touch at thousands of points: more than the simulator's own arena holds.
OPTIONS = '<size memory="512M"/><option timestep="0.002" integrator="implicitfast" cone="elliptic" impratio="5"/>'
CONTACT = 'friction="0.8 0.01 0.002" condim="6" solref="0.006 1" solimp="0.95 0.99 0.0005"'


def settle(models: Sequence[Model], radius_m: float, rng: np.random.Generator) -> list[Placed]:
    """Poses at rest of one object per model, centres within `radius_m` of the table's.

    Raises:
        BackendUnavailableError: mujoco is not installed.
        InvalidSceneError: the objects do not come to rest inside the area.
    """
    world = _World(models)
    for index in range(len(models)):
        world.drop(index, radius_m, rng)
    for _ in range(TRIES):
        before = world.positions_m()
        world.advance(REST_S)
        gone = np.hypot(*world.positions_m()[:, :2].T) > radius_m
        moved = np.linalg.norm(world.positions_m() - before, axis=1) > STILL_M
        if not gone.any() and not moved.any():
            return [Placed(model, T) for model, T in zip(models, world.poses(), strict=True)]
        for index in np.nonzero(gone)[0]:
            world.drop(int(index), radius_m, rng)
    raise InvalidSceneError(
        f"{len(models)} objects did not come to rest within {radius_m:.2f} m after {TRIES} tries; "
        "allow a larger area or another seed"
    )


class _World:
    """A table of endless size in the simulator, with the objects that wait parked far away."""

    def __init__(self, models: Sequence[Model]) -> None:
        try:
            import mujoco  # heavy, for development only
        except ImportError as error:
            raise BackendUnavailableError("making scenes needs mujoco: pip install mujoco") from error
        self._mujoco = mujoco
        self._models = models
        self._model: Any = mujoco.MjModel.from_xml_string(_xml(models))
        self._state: Any = mujoco.MjData(self._model)
        for index in range(len(models)):
            parked = np.array([PARK_M + 0.6 * index, 0.0, -_lowest(models[index], Rotation.identity())])
            self._put(index, parked, Rotation.identity())

    def advance(self, seconds: float) -> None:
        self._mujoco.mj_step(self._model, self._state, nstep=round(seconds / self._model.opt.timestep))

    def positions_m(self) -> Float64[np.ndarray, "K 3"]:
        return self._state.qpos.reshape(-1, 7)[:, :3].copy()

    def poses(self) -> list[Float64[np.ndarray, "4 4"]]:
        """T_world_object of every object."""
        out = []
        for x, y, z, qw, qx, qy, qz in self._state.qpos.reshape(-1, 7):
            T_world_object = np.eye(4)
            T_world_object[:3, :3] = Rotation.from_quat([qx, qy, qz, qw]).as_matrix()
            T_world_object[:3, 3] = [x, y, z]
            out.append(T_world_object)
        return out

    def drop(self, index: int, radius_m: float, rng: np.random.Generator) -> None:
        """Let one object fall from just above whatever lies below, at the lowest of three random places."""
        tries = []
        for _ in range(3):
            turn, reach = rng.uniform(0, 2 * np.pi), 0.75 * radius_m * np.sqrt(rng.random())
            place = np.array([reach * np.cos(turn), reach * np.sin(turn)])
            rotation = _orientation(self._models[index], rng)
            tries.append((self._free_height(index, place, rotation), place, rotation))
        height, place, rotation = min(tries, key=lambda t: t[0])
        self._put(index, np.append(place, height), rotation)
        self.advance(DROP_S)

    def _free_height(self, index: int, place_m: Float64[np.ndarray, "2"], rotation: Rotation) -> float:
        height = -_lowest(self._models[index], rotation) + 0.004
        while self._touches(index, np.append(place_m, height), rotation):
            height += 0.012
        return height

    def _touches(self, index: int, position_m: Float64[np.ndarray, "3"], rotation: Rotation) -> bool:
        self._put(index, position_m, rotation)
        bodies = self._model.geom_bodyid[self._state.contact.geom]
        return bool((bodies == index + 1).any())

    def _put(self, index: int, position_m: Float64[np.ndarray, "3"], rotation: Rotation) -> None:
        x, y, z, w = rotation.as_quat()
        self._state.qpos[7 * index : 7 * index + 7] = [*position_m, w, x, y, z]
        self._state.qvel[6 * index : 6 * index + 6] = 0
        self._mujoco.mj_forward(self._model, self._state)


def _orientation(model: Model, rng: np.random.Generator) -> Rotation:
    yaw = Rotation.from_rotvec([0, 0, rng.uniform(0, 2 * np.pi)])
    if rng.random() < model.upright:
        return yaw
    return yaw * Rotation.from_rotvec([rng.choice([np.pi / 2, -np.pi / 2]) + rng.normal(0, 0.15), 0, 0])


def _lowest(model: Model, rotation: Rotation) -> float:
    return float(rotation.apply(model.shape.mesh.vertices_m)[:, 2].min())


def _xml(models: Sequence[Model]) -> str:
    assets, bodies = [], []
    for index, model in enumerate(models):
        geoms = []
        for part, hull in enumerate(model.shape.hulls):
            numbers = " ".join(f"{x:.6f}" for x in hull.ravel())
            assets.append(f'<mesh name="m{index}_{part}" vertex="{numbers}"/>')
            geoms.append(f'<geom type="mesh" mesh="m{index}_{part}" mass="0" {CONTACT}/>')
        bodies.append(
            f'<body name="b{index}"><joint type="free" damping="0.0002"/>{_inertial(model)}{"".join(geoms)}</body>'
        )
    ground = f'<geom type="plane" size="0 0 1" {CONTACT}/>'
    return f"<mujoco>{OPTIONS}<asset>{''.join(assets)}</asset><worldbody>{ground}{''.join(bodies)}</worldbody></mujoco>"


def _inertial(model: Model) -> str:
    """Mass, centre and inertia of the closed surface filled with one material."""
    mesh = model.shape.mesh
    a, b, c = (mesh.vertices_m[mesh.faces[:, k]] for k in range(3))
    volumes = (a * np.cross(b, c)).sum(axis=1) / 6  # of tetrahedra from the origin
    mass = DENSITY_KG_M3 * volumes.sum()
    centre = (volumes[:, None] * (a + b + c) / 4).sum(axis=0) / volumes.sum()
    corners = np.stack([a, b, c, a + b + c])
    second = DENSITY_KG_M3 * np.einsum("f,kfi,kfj->ij", volumes / 20, corners, corners) - mass * np.outer(
        centre, centre
    )
    inertia = np.trace(second) * np.eye(3) - second
    full = [inertia[0, 0], inertia[1, 1], inertia[2, 2], inertia[0, 1], inertia[0, 2], inertia[1, 2]]
    numbers = " ".join(f"{x:.9g}" for x in full)
    return (
        f'<inertial pos="{centre[0]:.6f} {centre[1]:.6f} {centre[2]:.6f}" mass="{mass:.6f}" fullinertia="{numbers}"/>'
    )
