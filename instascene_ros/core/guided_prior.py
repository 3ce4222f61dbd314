"""A prior made of any multi-view diffusion model: known content, guided denoising, views."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float32
from torch import Tensor

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.guidance import Denoise, Guide, Scheduler, Start, guided_sample
from instascene_ros.core.known_content import KnownContent, known_content
from instascene_ros.core.object_sphere import ObjectSphere
from instascene_ros.core.objects import GeneratedView, ObjectObservation
from instascene_ros.core.possible_space import PossibleSpace
from instascene_ros.core.protocols import Guess, Guesser, Report, silent
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.views import PosedCamera, Rig, best_input


@dataclass(frozen=True)
class Target:
    """What a model is asked: the images of these cameras, given what is known of them."""

    observation: ObjectObservation
    sphere: ObjectSphere
    cameras: list[PosedCamera]
    space: PossibleSpace
    known: KnownContent  # of these cameras, at their size
    input_row: int  # of the best input view among the observation's


@runtime_checkable
class MultiViewModel(Protocol):
    """A diffusion model that makes all views of its rig at once. Latent or pixel space is its own affair.

    A model may look at everything in the target: known content and where it is known, cameras relative to the sphere,
    and the input views themselves.
    """

    name: str
    exact: bool  # see `protocols.Prior`
    rig: Rig
    scheduler: Scheduler
    num_steps: int

    def encode(self, target: Target) -> Guide:
        """What is known, in the model's space."""
        ...

    def denoiser(self, target: Target, guide: Guide, seed: int) -> Denoise:
        """The model, conditioned on the target."""
        ...

    def decode(self, sample: Float32[Tensor, "B C H W"], target: Target) -> list[GeneratedView]:
        """The denoised sample as views, with depth."""
        ...


@runtime_checkable
class Starting(Protocol):
    """A model that may start from a guess rather than from noise alone."""

    start_noise: float  # share of noise in the first sample; 1: noise alone

    def guess(self, views: Sequence[GeneratedView], target: Target) -> Float32[Tensor, "B C H W"]:
        """Another prior's views of the rig's cameras, in the model's space."""
        ...


class GuidedPrior:
    """Generates the views of the model's own rig; unless those are exact, others come from reconciling them."""

    def __init__(
        self, model: MultiViewModel, rasterizer: Rasterizer, config: CompletionConfig, first: Guesser | None = None
    ) -> None:
        """`first` makes a guess: the cameras look at that, and `Starting` models start from it."""
        self._model, self._rasterizer, self._config, self._first = model, rasterizer, config, first

    @property
    def name(self) -> str:
        """The model's."""
        return self._model.name

    @property
    def exact(self) -> bool:
        """The model's."""
        return self._model.exact

    def __call__(
        self, observation: ObjectObservation, cameras: list[PosedCamera], seed: int, report: Report = silent
    ) -> list[GeneratedView]:
        """See `Prior`."""
        model = self._model
        guess = self._guess(observation, seed, report)
        report(0.05, "carrying what was seen into the views to make")
        target = self.target(observation, guess)
        share = target.known.share_of_object()
        guide = model.encode(target)
        num_steps = self._config.denoising_steps or model.num_steps
        start = self._start(target, guess)

        def tell(done: float, message: str) -> None:
            report(0.1 + 0.8 * done, f"{message}; {known} of {len(share)} views known")

        known = int((share >= self._config.min_known_share).sum())
        sample = guided_sample(
            model.denoiser(target, guide, seed), model.scheduler, guide, num_steps, seed, tell, start
        )
        report(0.9, "from the model's space to views")
        return model.decode(sample, target)

    def _guess(self, observation: ObjectObservation, seed: int, report: Report) -> Guess | None:
        if self._first is None:
            return None
        report(0.0, f"a first guess by the {self._first.name} prior")
        guess = self._first.guess(observation, seed)
        return guess if len(guess.points_m) else None

    def _start(self, target: Target, guess: Guess | None) -> Start | None:
        if guess is None or not isinstance(self._model, Starting) or self._model.start_noise >= 1:
            return None
        return Start(self._model.guess(guess.views(target.cameras), target), self._model.start_noise)

    def target(self, observation: ObjectObservation, guess: Guess | None = None) -> Target:
        """The rig around the object, azimuth 0 at the best input view, and what is known from there."""
        if guess is None:
            sphere = ObjectSphere.around(observation, self._config.min_voxel_m)
        else:
            sphere = ObjectSphere.around_guess(guess.points_m)
        best = best_input(observation.views, self._config.min_known_share)
        front = observation.views[best].T_world_camera[:3, 3] - sphere.center_m
        cameras = self._model.rig.cameras(sphere.center_m, sphere.radius_m, observation.up, front)
        space = PossibleSpace.within(sphere, observation, self._config)
        known = known_content(observation, space, cameras, self._rasterizer, self._config)
        return Target(observation, sphere, cameras, space, known, best)
