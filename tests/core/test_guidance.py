"""Guided denoising under every kind of scheduler, against answers that are known exactly."""

import diffusers
import pytest
import torch
from torch import Tensor

from instascene_ros.core.errors import CancelledError
from instascene_ros.core.guidance import Guide, Start, guided_sample, output_for

PLAIN = {"clip_sample": False}
SCHEDULERS = {
    "ddpm": (diffusers.DDPMScheduler, PLAIN), "ddim": (diffusers.DDIMScheduler, PLAIN),
    "euler": (diffusers.EulerDiscreteScheduler, {}), "ancestral": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "dpm++": (diffusers.DPMSolverMultistepScheduler, {}), "unipc": (diffusers.UniPCMultistepScheduler, {}),
    "heun": (diffusers.HeunDiscreteScheduler, {}), "flow": (diffusers.FlowMatchEulerDiscreteScheduler, {}),
}  # fmt: skip
PREDICTIONS = {name: ("epsilon", "v_prediction", "sample") for name in SCHEDULERS}
PREDICTIONS |= {"flow": ("flow",), "ancestral": ("epsilon", "v_prediction")}
CASES = [(name, kind) for name, kinds in PREDICTIONS.items() for kind in kinds]

CLEAN = torch.rand((3, 5, 8, 8), generator=torch.Generator().manual_seed(0)) * 2 - 1
KNOWN = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
KNOWN[..., :4] = True
GUIDE = Guide(torch.where(KNOWN, CLEAN, 0.0), KNOWN)


def scheduler_of(name: str, kind: str = "epsilon") -> diffusers.SchedulerMixin:
    made, options = SCHEDULERS[name]
    return made(**options) if name == "flow" else made(prediction_type=kind, **options)


def random_model(noisy: Tensor, timestep: Tensor) -> Tensor:
    """Knows nothing; the same answer to the same question."""
    return torch.tanh(3 * noisy.roll(1, dims=-1))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_model_that_knows_the_answer_gives_it_back(name: str, kind: str) -> None:
    scheduler = scheduler_of(name, kind)
    sample = guided_sample(lambda x, t: output_for(scheduler, x, CLEAN, t), scheduler, GUIDE, 8, seed=1)
    torch.testing.assert_close(sample, CLEAN, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_what_is_known_stays_and_what_is_not_differs_by_seed_alone(name: str) -> None:
    samples = [guided_sample(random_model, scheduler_of(name), GUIDE, 5, seed) for seed in (0, 0, 1, 2)]
    for sample in samples:
        torch.testing.assert_close(sample[..., :4], CLEAN[..., :4], atol=1e-6, rtol=0)
    torch.testing.assert_close(samples[0], samples[1], atol=0, rtol=0)
    unknown = [sample[..., 4:] for sample in samples[1:]]
    assert all((a - b).abs().mean() > 0.05 for a, b in zip(unknown, unknown[1:], strict=False))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_model_sees_the_known_part_at_the_noise_level_of_the_step(name: str) -> None:
    """The spread around the scaled content must be that of the noise, at every step."""
    scheduler = scheduler_of(name)
    content = torch.ones(1, 1, 64, 64)
    guide, asked = Guide(content, content.bool()), []

    def watching(noisy: Tensor, timestep: Tensor) -> Tensor:
        asked.append((float(noisy.mean()), float(noisy.std())))
        return torch.zeros_like(noisy)

    guided_sample(watching, scheduler, guide, 6, seed=0)
    signal, spread = torch.tensor(asked).T
    assert signal[0] < 0.15 and signal[-1] > signal[0] + 0.5  # from noise to content
    total = signal + spread if name == "flow" else signal.square() + spread.square()
    torch.testing.assert_close(total, torch.ones_like(total), atol=0.05, rtol=0)


def test_progress_is_told_before_every_step_and_can_end_the_work() -> None:
    told: list[float] = []

    def report(share: float, message: str) -> None:
        told.append(share)
        if len(told) == 3:
            raise CancelledError("enough")

    with pytest.raises(CancelledError, match="enough"):
        guided_sample(random_model, scheduler_of("ddim"), GUIDE, 10, 0, report)
    assert told == pytest.approx([0.0, 0.1, 0.2])


def test_a_prediction_of_unknown_kind_is_refused_in_words() -> None:
    scheduler = scheduler_of("ddim")
    scheduler.register_to_config(prediction_type="entropy")
    with pytest.raises(ValueError, match="predicts 'entropy'; expected one of: epsilon"):
        output_for(scheduler, CLEAN, CLEAN, torch.tensor(500))


def test_a_guess_stays_in_part_and_the_known_wholly() -> None:
    """A model that knows better replaces the guess; what a model sees of it is as much as its noise leaves."""
    scheduler, guess = scheduler_of("flow"), Start(CLEAN.flip(0), 0.6)
    knowing = guided_sample(lambda x, t: output_for(scheduler, x, CLEAN, t), scheduler, GUIDE, 3, 1, start=guess)
    torch.testing.assert_close(knowing, CLEAN, atol=1e-4, rtol=0)
    torch.testing.assert_close(scheduler.sigmas, torch.tensor([0.6, 0.4, 0.2, 0.0]))
    seen: list[Tensor] = []

    def watching(noisy: Tensor, timestep: Tensor) -> Tensor:
        seen.append(noisy)
        return torch.zeros_like(noisy)

    content = torch.zeros(1, 1, 64, 64)
    nothing = Guide(content, torch.zeros_like(content, dtype=torch.bool))
    guided_sample(watching, scheduler, nothing, 1, seed=0, start=Start(content + 1, 0.9))
    assert float(seen[0].mean()) == pytest.approx(0.1, abs=0.05)
    assert float(seen[0].std()) == pytest.approx(0.9, abs=0.05)


def test_schedules_that_cannot_do_what_is_asked_say_so() -> None:
    with pytest.raises(ValueError, match="DDIMScheduler cannot start at noise 0.5; expected one that takes sigmas"):
        guided_sample(random_model, scheduler_of("ddim"), GUIDE, 5, 0, start=Start(CLEAN, 0.5))
    ending = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, shift_terminal=0.15)
    with pytest.raises(ValueError, match="has no 1 steps: ask for more"):
        guided_sample(random_model, ending, GUIDE, 1, 0)
