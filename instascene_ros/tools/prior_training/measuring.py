"""How well a network completes rings whose truth is known: errors on unknown pixels, and how far seeds differ."""

import torch
from jaxtyping import Float
from torch import Tensor

from instascene_ros.models.ring_volume import RingVolume
from instascene_ros.tools.prior_training.samples import Samples


def sigmas_of(steps: int, shift: float, last: float = 0.15) -> Float[Tensor, " T"]:
    """Noise levels of a sampling, as `FlowMatchEulerDiscreteScheduler` has them with `shift_terminal`."""
    if steps == 1:
        return torch.tensor([1.0, 0.0])
    even = torch.linspace(1, 0.001, steps)
    shifted = shift * even / (1 + (shift - 1) * even)
    stretched = 1 - (1 - shifted) * ((1 - last) / (1 - shifted[-1]))
    return torch.cat([stretched, torch.zeros(1)])


@torch.no_grad()
def completed(
    network: RingVolume, samples: Samples, seed: int, steps: int = 10, shift: float = 3.0
) -> Float[Tensor, "S V 5 H W"]:
    """Guided sampling as `core.guidance` does it, many rings at once."""
    count, views = samples.clean.shape[:2]
    device = samples.clean.device
    generator = torch.Generator(device).manual_seed(seed)
    content, known = samples.content.float().flatten(0, 1), samples.known.flatten(0, 1)
    given, rows = samples.given(), torch.arange(views, device=device).repeat(count)
    x, noise = (torch.randn(content.shape, generator=generator, device=device) for _ in range(2))
    sigmas = sigmas_of(steps, shift).to(device)
    for sigma, lower in zip(sigmas[:-1], sigmas[1:], strict=True):
        x = torch.where(known, (1 - sigma) * content + sigma * noise, x)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            flow = network(torch.cat([x, given], 1), 1000 * sigma, rows, rings=count)[0]
        x = x + (lower - sigma) * flow.float()
    return torch.where(known, content, x).reshape(samples.clean.shape)


def figures_of(made: Float[Tensor, "S V 5 H W"], samples: Samples) -> dict[str, float]:
    """Of unknown pixels: overlap of silhouettes, depth error (radii) and colour error (0..1) where both are."""
    true, unknown = samples.clean.float(), ~samples.known[:, :, 0]
    there, drawn = (true[:, :, 4] > 0) & unknown, (made[:, :, 4] > 0) & unknown
    both = there & drawn
    depth = (true[:, :, 3] - made[:, :, 3]).abs()[both]
    color = (true[:, :, :3] - made[:, :, :3]).abs().mean(2)[both] / 2
    return {
        "alpha_iou": float(both.sum() / (there | drawn).sum().clamp_min(1)),
        "depth_error": float(depth.mean()) if len(depth) else float("nan"),
        "color_error": float(color.mean()) if len(color) else float("nan"),
    }


def measured(network: RingVolume, samples: Samples, steps: int = 10, shift: float = 3.0) -> dict[str, float]:
    """`figures_of`; the share of unknown pixels in which two seeds' silhouettes differ; the overlap of one step."""
    one, other = (completed(network, samples, seed, steps, shift) for seed in (0, 1))
    unknown = ~samples.known[:, :, 0]
    apart = ((one[:, :, 4] > 0) != (other[:, :, 4] > 0)) & unknown
    either = ((one[:, :, 4] > 0) | (other[:, :, 4] > 0)) & unknown
    mean = completed(network, samples, 0, 1, shift)
    return figures_of(one, samples) | {
        "spread": float(apart.sum() / either.sum().clamp_min(1)),
        "iou_of_mean": figures_of(mean, samples)["alpha_iou"],
    }
