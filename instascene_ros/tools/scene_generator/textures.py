"""Procedural albedo as a function of the point in the object's own frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int64

Colour = tuple[float, float, float]  # sRGB, 0..1


@runtime_checkable
class Texture(Protocol):
    """Albedo (sRGB, 0..1) of surface points given in the object's frame, m."""

    def __call__(self, points_m: Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]: ...


def value_noise(points: Float[np.ndarray, "P 3"], seed: int) -> Float32[np.ndarray, " P"]:
    """Smooth noise in 0..1 with one cell per unit length, the same for the same seed on every machine."""
    cell = np.floor(points).astype(np.int64)
    t = points - cell
    t = t * t * (3 - 2 * t)
    total = np.zeros(len(points))
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, t, 1 - t), axis=1)
        total += weight * _hash(cell + np.array(corner), seed)
    return total.astype(np.float32)


def _hash(cells: Int64[np.ndarray, "P 3"], seed: int) -> Float[np.ndarray, " P"]:
    mixed = cells.astype(np.uint32) * np.array([73856093, 19349663, 83492791], np.uint32)
    h = mixed[:, 0] ^ mixed[:, 1] ^ mixed[:, 2] ^ np.uint32((seed * 2654435761) & 0xFFFFFFFF)
    h = (h ^ (h >> 15)) * np.uint32(2246822519)
    h = (h ^ (h >> 13)) * np.uint32(3266489917)
    return (h ^ (h >> 16)) / 2**32


def mixed(
    a: Float[np.ndarray, "#P 3"], b: Float[np.ndarray, "#P 3"], share: Float[np.ndarray, " P"]
) -> Float32[np.ndarray, "P 3"]:
    """`a` where share is 0, `b` where it is 1."""
    share = np.clip(share, 0, 1)[:, None]
    return (a * (1 - share) + b * share).astype(np.float32)


def _row(colour: Colour) -> Float32[np.ndarray, "1 3"]:
    return np.array([colour], np.float32)


@dataclass(frozen=True)
class Plain:
    """One colour, slightly mottled."""

    colour: Colour
    mottle: float = 0.06
    grain_m: float = 0.02
    seed: int = 0

    def __call__(self, points_m: Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]:
        noise = value_noise(points_m / self.grain_m, self.seed) + value_noise(
            points_m / self.grain_m * 3.7, self.seed + 1
        )
        return (_row(self.colour) * (1 + self.mottle * (noise[:, None] - 1))).clip(0, 1).astype(np.float32)


@dataclass(frozen=True)
class Bands:
    """Colours stacked along one axis; `limits_m` are the borders between them."""

    axis: int
    limits_m: Sequence[float]
    colours: Sequence[Colour]

    def __call__(self, points_m: Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]:
        index = np.searchsorted(np.asarray(self.limits_m), points_m[:, self.axis])
        return np.asarray(self.colours, np.float32)[index] * Plain((1, 1, 1), 0.05)(points_m)


@dataclass(frozen=True)
class Label:
    """A printed band around a can, bottle or mug: emblem discs, text-like strokes and a border, on a base colour."""

    base: Colour
    paper: Colour
    ink: Colour
    low_m: float
    high_m: float
    discs: int = 3
    seed: int = 0

    def __call__(self, points_m: Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]:
        x, y, z = points_m.T
        turn = np.arctan2(y, x) / (2 * np.pi) + 0.5  # once around
        height = (z - self.low_m) / (self.high_m - self.low_m)
        on_label = (height > 0) & (height < 1) & (np.hypot(x, y) > 1e-3)
        cell = turn * self.discs
        around = (cell - np.floor(cell) - 0.5) * 2 * np.pi * np.hypot(x, y) / self.discs
        above = (height - 0.62) * (self.high_m - self.low_m)
        radius = np.hypot(around, above) / (0.26 * (self.high_m - self.low_m))
        ink = (radius < 1) & ~((radius > 0.62) & (radius < 0.78))
        ink |= (height < 0.06) | (height > 0.94)
        ink |= _strokes(turn * self.discs * 12, height * 14, self.seed) & (height < 0.3) & (height > 0.1)
        colour = np.where(ink[:, None], _row(self.ink), _row(self.paper))
        return np.where(on_label[:, None], colour, _row(self.base)).astype(np.float32) * Plain((1, 1, 1), 0.04)(
            points_m
        )


@dataclass(frozen=True)
class Carton:
    """A printed box: a coloured panel, a disc and lines of strokes on each side, different from side to side."""

    size_m: Sequence[float]
    base: Colour
    panel: Colour
    ink: Colour
    seed: int = 0

    def __call__(self, points_m: Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]:
        size = np.asarray(self.size_m)
        unit = (points_m - [0, 0, size[2] / 2]) / size * 2  # -1..1
        axis = np.abs(unit).argmax(axis=1)
        side = axis * 2 + (unit[np.arange(len(unit)), axis] > 0)
        rows = np.arange(len(unit))
        # Across and up on the side: text runs level on the upright sides.
        across_axis = np.where(axis == 0, 1, 0)
        up_axis = np.where(axis == 2, 1, 2)
        u, v = unit[rows, across_axis], unit[rows, up_axis]
        aspect = size[across_axis] / size[up_axis]
        edge = 0.35 * ((side * 7 + self.seed) % 3) - 0.45
        panel = v < edge
        disc = np.hypot((u - 0.3) * aspect, v - 0.45 - 0.1 * (side % 2)) < 0.30 * np.minimum(aspect, 1)
        text = _strokes(u * 9 * aspect + 31, v * 9 + side, self.seed + 5) & panel & (np.abs(u) < 0.8) & (v > -0.85)
        colour = np.where(panel[:, None], _row(self.panel), _row(self.base))
        colour = np.where((disc | text)[:, None], _row(self.ink), colour)
        return colour.astype(np.float32) * Plain((1, 1, 1), 0.04)(points_m)


def _strokes(column: Float[np.ndarray, " P"], row: Float[np.ndarray, " P"], seed: int) -> np.ndarray:
    """Blocks like words: rows half filled, with gaps of random length."""
    cells = np.stack([np.floor(column), np.floor(row), np.zeros(len(row))], axis=-1).astype(np.int64)
    return (_hash(cells, seed) < 0.72) & (np.abs(row - np.floor(row) - 0.5) < 0.28)


@dataclass(frozen=True)
class Stripes:
    """Alternating colours along an axis."""

    axis: int
    period_m: float
    first: Colour
    second: Colour
    share: float = 0.5

    def __call__(self, points_m: Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]:
        phase = points_m[:, self.axis] / self.period_m
        second = (phase - np.floor(phase)) > self.share
        return mixed(_row(self.first), _row(self.second), second.astype(float)) * Plain((1, 1, 1), 0.05)(points_m)


@dataclass(frozen=True)
class Spots:
    """Blotches of a second colour: glaze, fruit skin, stone."""

    base: Colour
    spot: Colour
    size_m: float
    amount: float = 0.5
    seed: int = 0

    def __call__(self, points_m: Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]:
        noise = 0.7 * value_noise(points_m / self.size_m, self.seed) + 0.3 * value_noise(
            points_m / self.size_m * 2.9, self.seed
        )
        return mixed(_row(self.base), _row(self.spot), (noise - 1 + self.amount) * 8)


@dataclass(frozen=True)
class Wood:
    """Grain along x, in planks across y."""

    light: Colour
    dark: Colour
    plank_m: float = 0.15
    seed: int = 0

    def __call__(self, points_m: Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]:
        plank = np.floor(points_m[:, 1] / self.plank_m)
        offset = np.stack([plank * 3.1, plank * 1.7, plank * 0.9], axis=-1)
        grain = 0.6 * value_noise(points_m * [9, 90, 90] + offset, self.seed)
        grain += 0.4 * value_noise(points_m * [25, 400, 400] + offset, self.seed + 1)
        grain = grain + 0.25 * (_hash(np.stack([plank, plank, plank], -1).astype(np.int64), self.seed) - 0.5)
        gap = np.abs(points_m[:, 1] / self.plank_m - np.round(points_m[:, 1] / self.plank_m)) * self.plank_m < 0.0015
        colour = mixed(_row(self.light), _row(self.dark), grain)
        return np.where(gap[:, None], colour * np.float32(0.45), colour).astype(np.float32)


@dataclass(frozen=True)
class Tiles:
    """Square tiles with joints, in a plane z = const."""

    tile: Colour
    joint: Colour
    size_m: float = 0.3
    seed: int = 0

    def __call__(self, points_m: Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, "P 3"]:
        cell = points_m[:, :2] / self.size_m
        joint = (np.abs(cell - np.round(cell)) * self.size_m < 0.004).any(axis=1)
        index = np.concatenate([np.floor(cell), np.zeros((len(cell), 1))], axis=1).astype(np.int64)
        shade = 0.85 + 0.15 * _hash(index, self.seed) + 0.12 * (value_noise(points_m * 14, self.seed) - 0.5)
        return np.where(joint[:, None], _row(self.joint), _row(self.tile) * shade[:, None]).astype(np.float32)
