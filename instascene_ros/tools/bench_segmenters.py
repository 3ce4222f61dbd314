"""Time per frame of each segmenter, networks at their true size, random weights: `python -m ...bench_segmenters`."""

import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
import typer

from instascene_ros.core.camera import Camera
from instascene_ros.core.config import NetworkConfig, SegmentationConfig
from instascene_ros.core.frame import Frame
from instascene_ros.models import mask2former, sam2
from instascene_ros.models.geometric_segmenter import GeometricSegmenter
from instascene_ros.models.hub_models import IMAGENET_MEAN, IMAGENET_STD, HubModel
from instascene_ros.models.network_images import placement
from instascene_ros.models.true_sizes import mask2former_swin_large, sam2_hiera_large
from instascene_ros.tools.figures import Spread, Table

HEIGHT, WIDTH, DEPTH_M = 480, 640, 0.8


def noise_frame() -> Frame:
    """Smooth colours, and a bumpy wall of depth."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 4, 6, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1)[0]
    rgb = (255 * smooth[:3]).byte().permute(1, 2, 0).numpy()
    depth_m = (DEPTH_M + 0.1 * smooth[3]).numpy()
    return Frame(0, Camera(WIDTH, WIDTH, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT), rgb, depth_m, np.eye(4))


def network_of(build: Callable[[], torch.nn.Module], size: dict[str, int], config: NetworkConfig) -> HubModel:
    """Random weights, ready to run."""
    device, dtype = placement(config)
    torch.manual_seed(0)
    network: Any = build().eval().requires_grad_(False).to(device, dtype)
    return HubModel(network, size, IMAGENET_MEAN, IMAGENET_STD, device, dtype)


def times_ms(segmenter: Callable[[Frame], Any], frame: Frame, repeats: int) -> list[float]:
    """Of whole calls, masks on the host at the end; one before them does not count."""
    segmenter(frame)
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        segmenter(frame)
        found.append(1e3 * (time.perf_counter() - start))
    return found


def main(
    names: Annotated[list[str] | None, typer.Argument(help="geometric, mask2former, sam2; all by default.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    repeats: Annotated[int, typer.Option(min=1, help="Frames that count.")] = 10,
) -> None:
    """Print a table. Random weights find hardly anything: what painting many masks takes is not in it."""
    config, frame = NetworkConfig(device=device, precision=precision), noise_frame()
    builds: dict[str, Callable[[], Callable[[Frame], Any]]] = {
        "geometric": lambda: GeometricSegmenter(SegmentationConfig()),
        "mask2former": lambda: mask2former.Mask2FormerSegmenter(
            network_of(mask2former_swin_large, mask2former.USUAL_SIZE, config), config
        ),
        "sam2": lambda: sam2.Sam2Segmenter(network_of(sam2_hiera_large, sam2.USUAL_SIZE, config), config),
    }
    rows = []
    for name in names or list(builds):
        given = frame.resized(320) if name == "geometric" else frame  # what it works at on a CPU
        spread = Spread.of(times_ms(builds[name](), given, repeats))
        rows.append({"segmenter": name, "ms: median (p10-p90)": spread})
    typer.echo(Table(f"One frame of {WIDTH}x{HEIGHT}", rows).markdown())


if __name__ == "__main__":
    typer.run(main)
