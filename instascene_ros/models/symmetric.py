"""What was seen, with what its symmetry says of the places that no camera looked into."""

from dataclasses import replace

import numpy as np

from instascene_ros.core.geometry import transform
from instascene_ros.models.closure import Seen
from instascene_ros.models.symmetry import Symmetry

KNOWN_WEIGHT = 0.3
MIN_NEWS = 0.05  # copies in hidden places, of the seen points: fewer tell nothing


def with_symmetry(seen: Seen, symmetry: Symmetry) -> Seen:
    """The points and their copies in hidden places; `seen` itself where there are hardly any.

    Only surface is copied. Free space is not: at silhouettes it is uncertain by a pixel, and its copies would eat into
    the hidden side from all around.
    """
    evidence = seen.evidence
    hidden = (evidence.weight <= KNOWN_WEIGHT) & ~evidence.free & ~evidence.taken
    points, normals, colors = [seen.points_m], [seen.normals], [seen.colors]
    for T in symmetry.motions():
        copies_m = transform(T, seen.points_m)
        keep = seen.grid.lookup(hidden, copies_m, False)
        points.append(copies_m[keep])
        normals.append((seen.normals[keep] @ T[:3, :3].T).astype(np.float32))
        colors.append(seen.colors[keep])
    points_m = np.concatenate(points)
    if len(points_m) < (1 + MIN_NEWS) * len(seen.points_m):
        return seen
    return replace(seen, points_m=points_m, normals=np.concatenate(normals), colors=np.concatenate(colors))
