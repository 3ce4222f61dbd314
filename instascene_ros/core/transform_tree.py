"""Recorded transforms between frames, and any frame in any other at given stamps."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64, Int64

from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.tum import has_pose, interpolate_poses

MAX_GAP_S = 0.5  # transforms further apart than this are not interpolated
USUAL_ROOTS = ("odom", "map", "world")


@dataclass
class _Edge:
    """A frame in its parent."""

    parent: str
    static: bool
    stamps_ns: list[int] = field(default_factory=list)
    Ts_parent_child: list[Float64[np.ndarray, "4 4"]] = field(default_factory=list)


class TransformTree:
    """Every frame has one parent; a later parent replaces an earlier one, as in tf2."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def add(
        self, parent: str, child: str, stamp_ns: int, T_parent_child: Float64[np.ndarray, "4 4"], static: bool
    ) -> None:
        """Remember one transform."""
        edge = self._edges.get(child)
        if edge is None or edge.parent != parent or edge.static != static:
            edge = self._edges[child] = _Edge(parent, static)
        edge.stamps_ns.append(stamp_ns)
        edge.Ts_parent_child.append(T_parent_child)

    def root_for(self, frame: str) -> str:
        """The frame to map in: odom, map or world if it is above `frame`, otherwise what is above all.

        Raises:
            InvalidSceneError: the frame is not in the tree.
        """
        above = self._up(frame)
        return next((name for name in USUAL_ROOTS if name in above), above[-1])

    def at(
        self, target: str, source: str, stamps_ns: Int64[np.ndarray, " F"]
    ) -> tuple[Float64[np.ndarray, "F 4 4"], Bool[np.ndarray, " F"]]:
        """`T_target_source` at each stamp, and where it is known; interpolated, never extrapolated.

        Raises:
            InvalidSceneError: the frames are not in one tree; the message names the frames that exist.
        """
        up_target, up_source = self._up(target), self._up(source)
        common = next((name for name in up_source if name in up_target), None)
        if common is None:
            raise InvalidSceneError(
                f"no transform leads from {source!r} to {target!r}; above them are {up_source[-1]!r}, {up_target[-1]!r}"
            )
        T_common_source, known_source = self._chain(up_source[: up_source.index(common)], stamps_ns)
        T_common_target, known_target = self._chain(up_target[: up_target.index(common)], stamps_ns)
        return np.linalg.inv(T_common_target) @ T_common_source, known_source & known_target

    def _up(self, frame: str) -> list[str]:
        """The frame and everything above it."""
        parents = {child: edge.parent for child, edge in self._edges.items()}
        if frame not in parents and frame not in parents.values():
            known = ", ".join(sorted(set(parents) | set(parents.values()))) or "none"
            raise InvalidSceneError(f"frame {frame!r} is not in the recorded transforms; frames that are: {known}")
        above = [frame]
        while above[-1] in parents:
            above.append(parents[above[-1]])
            if len(above) > len(parents) + 1:
                raise InvalidSceneError(f"the recorded transforms above {frame!r} go round in a circle: {above}")
        return above

    def _chain(
        self, frames: list[str], stamps_ns: Int64[np.ndarray, " F"]
    ) -> tuple[Float64[np.ndarray, "F 4 4"], Bool[np.ndarray, " F"]]:
        """The first of the frames in the parent of the last."""
        Ts, known = np.tile(np.eye(4), (len(stamps_ns), 1, 1)), np.ones(len(stamps_ns), bool)
        for frame in frames:
            Ts_edge, known_edge = _edge_at(self._edges[frame], stamps_ns)
            Ts, known = Ts_edge @ Ts, known & known_edge
        return Ts, known


def _edge_at(
    edge: _Edge, stamps_ns: Int64[np.ndarray, " F"]
) -> tuple[Float64[np.ndarray, "F 4 4"], Bool[np.ndarray, " F"]]:
    if edge.static:
        return np.tile(edge.Ts_parent_child[-1], (len(stamps_ns), 1, 1)), np.ones(len(stamps_ns), bool)
    return poses_at(np.array(edge.stamps_ns, np.int64), np.stack(edge.Ts_parent_child), stamps_ns)


def poses_at(
    known_ns: Int64[np.ndarray, " P"], Ts_a_b: Float64[np.ndarray, "P 4 4"], stamps_ns: Int64[np.ndarray, " F"]
) -> tuple[Float64[np.ndarray, "F 4 4"], Bool[np.ndarray, " F"]]:
    """Transforms at other stamps, interpolated over gaps up to MAX_GAP_S; identity where not known."""
    order = np.argsort(known_ns, kind="stable")
    origin_ns = known_ns[order[0]]  # seconds since 1970 in a float would cost tenths of a microsecond
    known_s, at_s = (known_ns[order] - origin_ns) / 1e9, (stamps_ns - origin_ns) / 1e9
    inside = has_pose(at_s, known_s, MAX_GAP_S)
    found = np.tile(np.eye(4), (len(stamps_ns), 1, 1))
    if inside.any():
        found[inside] = interpolate_poses(known_s, Ts_a_b[order], at_s[inside])
    return found, inside
