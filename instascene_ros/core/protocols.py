"""What the core asks of the models that plug into it."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.objects import GeneratedView, ObjectObservation
from instascene_ros.core.views import PosedCamera

Report = Callable[[float, str], None]  # share of the step done (0..1), words; raises CancelledError to end it


def silent(share: float, message: str) -> None:
    """Nobody listens, nobody cancels."""


@runtime_checkable
class Segmenter(Protocol):
    """2D entity masks of one frame, at the frame's size."""

    def __call__(self, frame: Frame) -> Masks: ...


@runtime_checkable
class FullSizeSegmenter(Segmenter, Protocol):
    """A segmenter that takes frames as the camera sent them: its outlines get better with every pixel."""

    full_size: bool


@runtime_checkable
class Clickable(Protocol):
    """A segmenter that can also be asked for the entity at one or more clicks (column, row, px), all on one thing.

    Raises:
        InvalidEditError: no click, or one outside the image.
    """

    def at(self, frame: Frame, points_px: Sequence[tuple[float, float]]) -> Bool[np.ndarray, "H W"]: ...


@runtime_checkable
class Prior(Protocol):
    """An idea of whole objects: given what was seen, what would other cameras see of the object alone?

    Same observation, cameras and seed: same views. A prior whose model knows no other cameras than its own answers
    from those. `report` is called between steps; what it raises ends the work.
    """

    name: str
    exact: bool  # its views show one and the same solid; otherwise they are reconciled before they are fused

    def __call__(
        self,
        observation: ObjectObservation,
        cameras: Sequence[PosedCamera],
        seed: int,
        report: Report = silent,
    ) -> list[GeneratedView]: ...


@runtime_checkable
class Guess(Protocol):
    """A whole object that somebody thinks up at once, to be looked at from anywhere."""

    @property
    def points_m(self) -> Float32[np.ndarray, "P 3"]:
        """Points of its surface, world."""
        ...

    def views(self, cameras: Sequence[PosedCamera]) -> list[GeneratedView]: ...


@runtime_checkable
class Guesser(Protocol):
    """Thinks up whole objects. Same observation and seed: same guess."""

    name: str

    def guess(self, observation: ObjectObservation, seed: int) -> Guess: ...


@runtime_checkable
class Inpainter(Protocol):
    """The colours of an image where something was taken out of it; those around it are not changed."""

    name: str

    def __call__(
        self, rgb: UInt8[np.ndarray, "H W 3"], hole: Bool[np.ndarray, "H W"]
    ) -> UInt8[np.ndarray, "H W 3"]: ...
