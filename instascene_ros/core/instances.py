"""The object instances of the map at one moment, as a struct of arrays."""

from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Shaped


class InstanceState(IntEnum):
    """Values of Instance.msg."""

    TENTATIVE = 0
    CONFIRMED = 1
    MISSING = 2


@dataclass(frozen=True)
class Instances:
    """K instances, ordered by id. Ids are stable for the life of the map and never reused."""

    ids: Int32[np.ndarray, " K"]
    revisions: Int32[np.ndarray, " K"]  # +1 whenever geometry or label changes
    states: Int32[np.ndarray, " K"]  # InstanceState
    scores: Float32[np.ndarray, " K"]  # 0..1, that this is one whole object
    box_centers_m: Float32[np.ndarray, "K 3"]  # world
    box_quats_wxyz: Float32[np.ndarray, "K 4"]  # world from box
    box_sizes_m: Float32[np.ndarray, "K 3"]  # full extents along the box axes
    centroids_m: Float32[np.ndarray, "K 3"]
    num_points: Int32[np.ndarray, " K"]
    num_views: Int32[np.ndarray, " K"]  # keyframes that saw it
    first_seen_ns: Int64[np.ndarray, " K"]
    last_seen_ns: Int64[np.ndarray, " K"]
    observed_fractions: Float32[np.ndarray, " K"]  # 0..1, NaN unknown
    merged_ids: tuple[tuple[int, ...], ...]  # ids absorbed by each, so that clients can follow
    names: tuple[str, ...] = ()  # given by users, '' if none; left out = no instance has one

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", ("",) * len(self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Bool[np.ndarray, " K"] | Int64[np.ndarray, " R"] | slice) -> "Instances":
        chosen = np.arange(len(self))[rows]

        def take(column: Shaped[np.ndarray, "K ..."] | tuple) -> Shaped[np.ndarray, "R ..."] | tuple:
            return column[chosen] if isinstance(column, np.ndarray) else tuple(column[i] for i in chosen)

        return replace(self, **{f.name: take(getattr(self, f.name)) for f in fields(self)})

    @classmethod
    def empty(cls) -> "Instances":
        i32, f32, i64 = np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.int64)
        f3, f4 = np.zeros((0, 3), np.float32), np.zeros((0, 4), np.float32)
        return cls(i32, i32, i32, f32, f3, f4, f3, f3, i32, i32, i64, i64, f32, ())


def color_of_id(instance_id: int) -> tuple[int, int, int]:
    """Stable, well separated RGB (0..255) of an id: golden-angle hues; 0 is grey."""
    if instance_id <= 0:
        return (128, 128, 128)
    hue = (instance_id * 0.61803398875) % 1.0
    value, saturation = (1.0, 0.72) if instance_id % 2 else (0.82, 0.9)
    channels = [(hue * 6 + offset) % 6 for offset in (5, 3, 1)]
    rgb = [value - value * saturation * max(0.0, min(k, 4 - k, 1)) for k in channels]
    return tuple(round(255 * c) for c in rgb)  # type: ignore[return-value]
