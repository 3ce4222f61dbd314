"""Denoising with what is known held fast: InstaScene's known-feature guidance (supplement, section 7)."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from instascene_ros.core.protocols import Report, silent

Denoise = Callable[[Tensor, Tensor], Tensor]  # (noisy sample as the model takes it, timestep) -> the model's output


@runtime_checkable
class Scheduler(Protocol):
    """A noise schedule and its solver, as diffusers' schedulers are."""

    timesteps: Tensor

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None: ...

    def step(self, model_output: Tensor, timestep: Any, sample: Tensor) -> Any: ...


@dataclass(frozen=True)
class Guide:
    """What is known of the sample, in the model's own space: latents, or pixels."""

    content: Float32[Tensor, "B C H W"]  # clean; says nothing where not known
    known: Bool[Tensor, "B 1 H W"]


@dataclass(frozen=True)
class Start:
    """A guess to start from in place of noise alone, and how much noise hides of it (1: all)."""

    guess: Float32[Tensor, "B C H W"]
    noise: float


def guided_sample(
    denoise: Denoise,
    scheduler: Scheduler,
    guide: Guide,
    num_steps: int,
    seed: int,
    report: Report = silent,
    start: Start | None = None,
) -> Float32[Tensor, "B C H W"]:
    """Denoise from noise; before every step the known part is set to its content at that step's noise level.

    With a `start`, the first noise is mixed with its guess (Meng et al., "SDEdit", ICLR 2022): the less noise, the more
    of the guess stays, and what the model is sure of changes.

    The content was carried from the known views by depth beforehand: carrying it and adding noise may change places,
    and noise that is drawn where it is needed stays white, which carried noise does not. The model is not changed.
    Deterministic by seed. `report` is called before every step; what it raises ends the work.

    Raises:
        ValueError: the scheduler cannot make so few steps, or cannot start from a guess.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    shape, device = guide.content.shape, guide.content.device
    _set_timesteps(scheduler, num_steps, device, 1.0 if start is None else start.noise)
    drawn = torch.randn((2, *shape), generator=generator).to(device)
    sample = drawn[0] * getattr(scheduler, "init_noise_sigma", 1.0)  # flow matching begins at unit variance
    if start is not None:
        sample = noised(scheduler, start.guess, drawn[0], scheduler.timesteps[0])
    options = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for index, timestep in enumerate(scheduler.timesteps):
        report(index / len(scheduler.timesteps), f"denoising step {index + 1} of {len(scheduler.timesteps)}")
        sample = torch.where(guide.known, noised(scheduler, guide.content, drawn[1], timestep), sample)
        output = denoise(model_input(scheduler, sample, timestep), timestep)
        sample = scheduler.step(output, timestep, sample, **options).prev_sample
    return torch.where(guide.known, guide.content, sample)


def _set_timesteps(scheduler: Scheduler, num_steps: int, device: torch.device, noise: float) -> None:
    if noise < 1:
        if "sigmas" not in inspect.signature(scheduler.set_timesteps).parameters:
            kind = type(scheduler).__name__
            raise ValueError(f"{kind} cannot start at noise {noise}; expected one that takes sigmas (flow matching)")
        levels = [noise * (1 - k / num_steps) for k in range(num_steps)]
        scheduler.set_timesteps(sigmas=levels, device=device)  # type: ignore[call-arg]
    else:
        scheduler.set_timesteps(num_steps, device=device)
    if not torch.isfinite(scheduler.timesteps).all():  # diffusers' `shift_terminal` divides by nothing at one step
        raise ValueError(f"the model's schedule has no {num_steps} steps: ask for more (completion.denoising_steps)")


def noised(scheduler: Scheduler, content: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    """Content at the noise level of a step, as the scheduler counts it."""
    timesteps = timestep.reshape(1).expand(len(content))
    if hasattr(scheduler, "scale_noise"):  # flow matching
        return scheduler.scale_noise(content, timesteps, noise)
    return scheduler.add_noise(content, noise, timesteps)


def model_input(scheduler: Scheduler, sample: Tensor, timestep: Tensor) -> Tensor:
    """The sample as the model takes it: some schedulers' samples grow with the noise."""
    scale = getattr(scheduler, "scale_model_input", None)
    return sample if scale is None else scale(sample, timestep)


def output_for(scheduler: Scheduler, noisy: Tensor, clean: Tensor, timestep: Tensor) -> Tensor:
    """What a model that knows the `clean` sample answers to `noisy` (as the model takes it), of whatever it predicts.

    Raises:
        ValueError: the scheduler expects a prediction of an unknown kind.
    """
    one, zero = torch.ones_like(clean[:1]), torch.zeros_like(clean[:1])
    signal = model_input(scheduler, noised(scheduler, one, zero, timestep), timestep)
    spread = model_input(scheduler, noised(scheduler, zero, one, timestep), timestep)
    noise = (noisy - signal * clean) / spread.clamp_min(1e-6)
    kind = "flow" if hasattr(scheduler, "scale_noise") else scheduler.config.prediction_type
    answers = {
        "epsilon": noise, "sample": clean, "v_prediction": signal * noise - spread * clean, "flow": noise - clean,
    }  # fmt: skip
    if kind not in answers:
        raise ValueError(f"the scheduler predicts {kind!r}; expected one of: {', '.join(answers)}")
    return answers[kind]
