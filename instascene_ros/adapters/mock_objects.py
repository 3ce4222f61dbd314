"""Three objects on a table whose shapes are known, for programs that want answers without a camera or a map."""

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Vector3
from jaxtyping import Bool, Float32, Int32
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from instascene_ros.adapters.clouds import SURFEL_FIELDS, cloud_of, pack_rgb, xyz_columns
from instascene_ros.adapters.mesh_messages import mesh_message
from instascene_ros.adapters.transforms import pose_of
from instascene_ros.core.instances import Instances, InstanceState, color_of_id
from instascene_ros.msg import CompletedObject

UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])  # wxyz
SURFEL_SIGMA_M, SURFEL_OPACITY = 0.004, 0.95
METHOD = "mock"


@dataclass(frozen=True)
class MockObject:
    """A convex shape around its own origin, standing upright."""

    id: int
    name: str
    position_m: Float32[np.ndarray, " 3"]
    vertices_m: Float32[np.ndarray, "V 3"]  # object frame
    faces: Int32[np.ndarray, "F 3"]  # outward, counter-clockwise

    @property
    def size_m(self) -> Float32[np.ndarray, " 3"]:
        return np.ptp(self.vertices_m, axis=0)

    @property
    def observed(self) -> Bool[np.ndarray, " V"]:
        """Nobody sees what stands on the table."""
        return self.vertices_m[:, 2] > self.vertices_m[:, 2].min() + 1e-6


def mock_objects() -> tuple[MockObject, ...]:
    """A box, a can and a ball within reach of an arm at the origin, on a table at z = 0."""
    box = _stack([(0.5, -0.06), (0.5, 0.06)], 4, (0.11, 0.07))
    can = _stack([(0.5, -0.055), (0.5, 0.055)], 32, (0.07, 0.07))
    return (
        MockObject(1, "box", np.float32([0.50, 0.15, 0.06]), *box),
        MockObject(2, "can", np.float32([0.45, -0.10, 0.055]), *can),
        MockObject(3, "ball", np.float32([0.60, 0.0, 0.04]), *_ball(0.04)),
    )


def _ball(radius_m: float) -> tuple[Float32[np.ndarray, "V 3"], Int32[np.ndarray, "F 3"]]:
    angles = np.linspace(-np.pi / 2, np.pi / 2, 14)[1:-1]
    rings = [(float(np.cos(a)), radius_m * float(np.sin(a))) for a in angles]
    vertices_m, faces = _stack(rings, 24, (radius_m, radius_m))
    vertices_m[-2:, 2] = -radius_m, radius_m
    return vertices_m, faces


def _stack(
    rings: list[tuple[float, float]], corners: int, widths_m: tuple[float, float]
) -> tuple[Float32[np.ndarray, "V 3"], Int32[np.ndarray, "F 3"]]:
    """Rings (radius as a share of the widths, height) from below to above, closed by a point at either end."""
    angles = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    outline *= 1 / np.abs(outline).max(axis=0)
    layers = [np.c_[outline * share * np.array(widths_m), np.full(corners, height)] for share, height in rings]
    ends = [[0, 0, rings[0][1]], [0, 0, rings[-1][1]]]
    below, above, last = corners * len(rings), corners * len(rings) + 1, corners * (len(rings) - 1)
    faces = []
    for i in range(corners):
        j = (i + 1) % corners
        for k in range(0, last, corners):
            faces += [(k + i, k + j, k + corners + j), (k + i, k + corners + j, k + corners + i)]
        faces += [(below, j, i), (above, last + i, last + j)]
    return np.concatenate([*layers, ends]).astype(np.float32), np.array(faces, np.int32)


def mock_instances(objects: tuple[MockObject, ...], stamp_ns: int) -> Instances:
    """All of them confirmed."""
    count, positions_m = len(objects), np.stack([one.position_m for one in objects])
    return Instances(
        ids=np.array([one.id for one in objects], np.int32),
        revisions=np.ones(count, np.int32),
        states=np.full(count, InstanceState.CONFIRMED, np.int32),
        scores=np.full(count, 0.95, np.float32),
        box_centers_m=positions_m,
        box_quats_wxyz=np.tile(UPRIGHT, (count, 1)).astype(np.float32),
        box_sizes_m=np.stack([one.size_m for one in objects]),
        centroids_m=positions_m,
        num_points=np.array([len(one.vertices_m) for one in objects], np.int32),
        num_views=np.full(count, 10, np.int32),
        first_seen_ns=np.full(count, stamp_ns, np.int64),
        last_seen_ns=np.full(count, stamp_ns, np.int64),
        observed_fractions=np.array([one.observed.mean() for one in objects], np.float32),
        merged_ids=((),) * count,
    )


def object_cloud(one: MockObject, header: Header, **columns: np.ndarray) -> PointCloud2:
    """Its vertices in the map frame, with further columns."""
    colors = np.tile(np.array(color_of_id(one.id), np.uint8), (len(one.vertices_m), 1))
    return cloud_of(header, xyz_columns(one.vertices_m + one.position_m) | {"rgb": pack_rgb(colors)} | columns)


def surfel_cloud(one: MockObject, header: Header) -> PointCloud2:
    """Its vertices as surfels that all look up: enough to test a reader with."""
    count = len(one.vertices_m)
    rows = np.zeros((count, len(SURFEL_FIELDS)), np.float32)
    rows[:, :3] = one.vertices_m + one.position_m
    rows[:, 3:7] = UPRIGHT
    rows[:, 7:9], rows[:, 9] = SURFEL_SIGMA_M, SURFEL_OPACITY
    rows[:, 10:] = np.array(color_of_id(one.id)) / 255
    return cloud_of(header, dict(zip(SURFEL_FIELDS, rows.T, strict=True)))


def completed_object(one: MockObject, map_id: str, header: Header, seed: int) -> CompletedObject:
    """The whole object; its underside is invented."""
    x, y, z = (float(value) for value in one.size_m)
    source = np.where(one.observed, CompletedObject.SOURCE_OBSERVED, CompletedObject.SOURCE_COMPLETED)
    return CompletedObject(
        header=header, map_id=map_id, instance_id=one.id, instance_revision=1, name=one.name,
        pose=pose_of(one.position_m, UPRIGHT), size=Vector3(x=x, y=y, z=z),
        mesh=mesh_message(one.vertices_m, one.faces), watertight=True,
        cloud=object_cloud(one, header, source=source.astype(np.uint8)), confidence=0.95,
        observed_fraction=float(one.observed.mean()), method=METHOD, seed=seed,
    )  # fmt: skip
