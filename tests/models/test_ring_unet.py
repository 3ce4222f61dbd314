"""Our own network of a ring: views see each other, it says flows, and comes back from disk through RingPipeline."""

from pathlib import Path

import torch

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.views import Rig
from instascene_ros.models.diffusers_prior import load_model, write_ring_index
from instascene_ros.models.ring_unet import RingUNet, RingUNetConfig

TINY = RingUNetConfig(num_class_embeds=4, channels=(16, 16), blocks=1, attention=(False, True))
ROWS = torch.arange(4)


def tiny() -> RingUNet:
    """With weights that do something in every layer."""
    torch.manual_seed(0)
    network = RingUNet(TINY)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


@torch.no_grad()
def test_each_view_sees_the_others_of_its_ring_and_no_other_ring() -> None:
    network, images = tiny(), torch.randn(8, TINY.in_channels, 16, 16)
    rows, timestep = ROWS.repeat(2), torch.tensor(500.0)
    changed = images.clone()
    changed[1] = torch.randn(TINY.in_channels, 16, 16)
    before, after = (network(x, timestep, rows, rings=2)[0] for x in (images, changed))
    moved = (before - after).abs().amax((1, 2, 3)) > 1e-6
    assert moved.tolist() == [True] * 4 + [False] * 4


@torch.no_grad()
def test_a_step_along_the_flow_to_no_noise_arrives_at_the_clean_images() -> None:
    network, images = tiny(), torch.randn(4, TINY.in_channels, 16, 16)
    sigma = torch.tensor(0.4)
    flow = network(images, 1000 * sigma, ROWS)[0]
    torch.testing.assert_close(images[:, :5] - sigma * flow, network.clean(images, sigma.expand(4), ROWS))


def test_a_folder_of_it_loads_as_a_ring_model(tmp_path: Path) -> None:
    import diffusers

    network = tiny()
    network.save_pretrained(tmp_path / "denoiser")
    diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, shift_terminal=0.15).save_pretrained(tmp_path / "scheduler")
    write_ring_index(tmp_path, "RingUNet", "FlowMatchEulerDiscreteScheduler", Rig.rings(((30.0, 4),), 16), 3)
    model = load_model(CompletionConfig(model=str(tmp_path), device="cpu"), "cpu")
    assert (model.num_steps, len(model.rig)) == (3, 4)
    again = RingUNet.from_pretrained(tmp_path / "denoiser")
    for one, other in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)
