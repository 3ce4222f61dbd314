"""Errors of a 2D entity segmenter: missing, merged and split objects, held for a few frames; wobbling borders."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32
from scipy import ndimage

TARGETS = {"missing": 0.10, "merged": 0.12, "split": 0.12}  # shares of the visible object masks
HOLD_FRAMES = 3.0  # mean
MIN_PIXELS = 80  # at 640 px width
BORDER_PX = (1.0, 3.0)  # at 640 px width
MAX_LABEL = 1000


@dataclass
class _Episode:
    """What goes wrong with one object, and for how much longer."""

    error: str
    frames_left: int
    partner: int = 0
    direction: np.ndarray | None = None
    cuts: tuple[float, ...] = ()
    by_colour: bool = False


class MaskErrors:
    """Turns true entity images, frame after frame, into the masks of an imperfect segmenter.

    Entities are numbered from 1; the first `num_objects` are objects, the rest background. Entity 0 is nothing.
    """

    def __init__(self, num_objects: int, width_px: int, rng: np.random.Generator) -> None:
        self._num_objects = num_objects
        self._scale = width_px / 640
        self._rng = rng
        self._episodes: dict[int, _Episode] = {}
        self._counts = {"missing": 0, "merged": 0, "split": 0, "object_masks": 0}

    @property
    def rates(self) -> dict[str, float]:
        """Realised share of every error, and the number of object masks."""
        total = self._counts["object_masks"]
        shares = {name: round(self._counts[name] / max(total, 1), 4) for name in TARGETS}
        return {**shares, "object_masks": total}

    def frame(
        self, entities: Int32[np.ndarray, "H W"], colour: Float32[np.ndarray, "H W 3"]
    ) -> Int32[np.ndarray, "H W"]:
        """Labels of the next frame, random ids."""
        sizes = np.bincount(entities.ravel(), minlength=self._num_objects + 1)
        visible = [k for k in range(1, self._num_objects + 1) if sizes[k] >= MIN_PIXELS * self._scale**2]
        labels = entities.copy()
        merged: set[int] = set()
        for k in visible:
            episode = self._episode(k, entities, visible)
            if k not in merged:
                self._apply(k, episode, entities, colour, labels, merged)
        self._counts["merged"] += len(merged)
        self._counts["object_masks"] += len(visible)
        return shuffled(self._without_small(self._wobbled(labels)), self._rng)

    def _episode(self, k: int, entities: Int32[np.ndarray, "H W"], visible: Sequence[int]) -> _Episode:
        episode = self._episodes.get(k)
        if episode is None or episode.frames_left == 0:
            episode = self._new_episode(k, entities, visible)
            self._episodes[k] = episode
        episode.frames_left -= 1
        return episode

    def _new_episode(self, k: int, entities: Int32[np.ndarray, "H W"], visible: Sequence[int]) -> _Episode:
        held = int(self._rng.geometric(1 / HOLD_FRAMES))
        draw, error = self._rng.random(), "none"
        for name in TARGETS:
            draw -= self._chance(name)
            if draw < 0:
                error = name
                break
        episode = _Episode(error, held)
        if error == "merged":
            near = neighbours(entities, k, visible)
            if len(near) == 0:
                return _Episode("none", 1)  # nothing to merge with here; try again in the next frame
            episode.partner = int(self._rng.choice(near))
        if error == "split":
            parts = int(self._rng.integers(2, 4))
            episode.cuts = tuple((np.arange(1, parts) + self._rng.uniform(-0.25, 0.25, parts - 1)) / parts)
            episode.direction = self._rng.standard_normal(2)
            episode.by_colour = bool(self._rng.random() < 0.5)
        return episode

    def _chance(self, error: str) -> float:
        """Target share, corrected by what was realised so far; a merge spoils two masks at once."""
        target = TARGETS[error]
        realised = (
            self._counts[error] / max(self._counts["object_masks"], 1) if self._counts["object_masks"] > 40 else target
        )
        wanted = max(0.0, target + 3 * (target - realised))
        return min(wanted, 0.3) * (0.6 if error == "merged" else 1.0)

    def _apply(
        self, k: int, episode: _Episode, entities: Int32[np.ndarray, "H W"], colour: Float32[np.ndarray, "H W 3"],
        labels: Int32[np.ndarray, "H W"], merged: set[int],
    ) -> None:  # fmt: skip
        mine = entities == k
        if episode.error == "missing":
            labels[mine] = 0
            self._counts["missing"] += 1
        elif episode.error == "merged" and (entities == episode.partner).any():
            labels[mine | (entities == episode.partner)] = k
            merged |= {k, episode.partner}
        elif episode.error == "split":
            labels[mine] = MAX_LABEL * k + _parts(mine, colour, episode)
            self._counts["split"] += 1

    def _wobbled(self, labels: Int32[np.ndarray, "H W"]) -> Int32[np.ndarray, "H W"]:
        """Borders displaced by a smooth random field."""
        reach = self._rng.uniform(*BORDER_PX) * self._scale
        field = ndimage.gaussian_filter(self._rng.standard_normal((2, *labels.shape)), (0, *[4 * self._scale] * 2))
        field *= reach / 2 / field.std()
        dv, du = np.clip(field, -reach, reach).round().astype(int)
        v, u = np.indices(labels.shape)
        return labels[np.clip(v + dv, 0, labels.shape[0] - 1), np.clip(u + du, 0, labels.shape[1] - 1)]

    def _without_small(self, labels: Int32[np.ndarray, "H W"]) -> Int32[np.ndarray, "H W"]:
        ids, back, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        ids[sizes < MIN_PIXELS * self._scale**2] = 0
        return ids[back].reshape(labels.shape)


def neighbours(entities: Int32[np.ndarray, "H W"], k: int, candidates: Sequence[int]) -> Int32[np.ndarray, " A"]:
    """Candidates that touch entity k in the image, within 2 px."""
    around = ndimage.binary_dilation(entities == k, iterations=2)
    near = np.unique(entities[around])
    return near[np.isin(near, [c for c in candidates if c != k])].astype(np.int32)


def shuffled(labels: Int32[np.ndarray, "H W"], rng: np.random.Generator) -> Int32[np.ndarray, "H W"]:
    """The same segments under random ids in 1..MAX_LABEL-1; 0 stays 0."""
    ids, back = np.unique(labels, return_inverse=True)
    new = rng.choice(np.arange(1, MAX_LABEL), len(ids), replace=False)
    return np.where(ids == 0, 0, new).astype(np.int32)[back].reshape(labels.shape)


def _parts(mine: np.ndarray, colour: Float32[np.ndarray, "H W 3"], episode: _Episode) -> Int32[np.ndarray, " P"]:
    """Part number of every pixel of a mask, cut by position or by colour."""
    assert episode.direction is not None
    if episode.by_colour:
        smooth = ndimage.gaussian_filter(colour, (1.5, 1.5, 0))[mine]
        centred = smooth - smooth.mean(axis=0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    else:
        along = np.stack(np.nonzero(mine), axis=-1) @ episode.direction
    return np.searchsorted(np.quantile(along, episode.cuts), along).astype(np.int32)
