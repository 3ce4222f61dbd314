"""A small network that denoises a ring of RGB-D-alpha views at once, by way of the volume between their cameras.

All views are carried into one volume, a 3D network says what it holds, and the clean images are what the cameras see
of that: they agree with one another whatever the network says (Szymanowicz et al., "Viewset Diffusion", ICCV 2023).
It answers with the flow towards noise, (noisy - clean) / sigma, that flow-matching schedulers expect.
"""

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from instascene_ros.models.ring_evidence import FEATURES, evidence_of
from instascene_ros.models.ring_geometry import RingShape, cell_centers
from instascene_ros.models.ring_layers import Attention, Block, group_norm, packed, spread, waves
from instascene_ros.models.ring_rendering import images_of_volume

LIKELY_EMPTY = -4.0  # logit of a cell before anything is learned
MIN_SIGMA = 0.05  # below it the answer would be noise of the network's own
WEIGHTS, CONFIG = "diffusion_pytorch_model.safetensors", "config.json"


@dataclass(frozen=True)
class RingVolumeConfig:
    """What the folder's config.json holds."""

    in_channels: int = 13  # see `ring_model`
    out_channels: int = 5
    num_class_embeds: int = RingShape.views  # views of the ring
    size_px: int = RingShape.size_px
    cells: int = 64  # of the volume, along each axis
    channels: tuple[int, ...] = (64, 128, 192)  # of the volume, at half its size, and at half of that each
    blocks: int = 2  # on the way down at each size, and on the way up
    image_channels: int = 64  # at half the images' size
    carried: int = 4  # features a view carries into the volume, at each of `depths` places along its rays
    depths: int = 16
    heads_width: int = 32
    inside_from: float = 0.5  # probability from which a cell counts as inside; less where overlap is what matters
    elevation_deg: float = RingShape.elevation_deg
    distance_radii: float = RingShape.distance_radii
    margin: float = RingShape.margin
    mirrored: bool = False  # asked about the mirror image as well, and the mean taken: a little better, twice the work
    closing: tuple[tuple[float, int], ...] = ()  # rows after the ring's: (elevation in degrees, views evenly around)
    architecture: str = field(default="RingVolume")

    @property
    def shape(self) -> RingShape:
        return RingShape(self.num_class_embeds, self.size_px, self.elevation_deg, self.distance_radii, self.margin)

    @property
    def shapes(self) -> list[RingShape]:
        """The ring, and what closes it: views that the network gives and does not take."""
        return [self.shape, *(replace(self.shape, elevation_deg=e, views=v) for e, v in self.closing)]


class RingVolume(nn.Module):
    """See the module. Called as diffusers' UNet2DModel with class labels, which are the rows of the views."""

    def __init__(self, config: RingVolumeConfig) -> None:
        super().__init__()
        self.settings, self.config = config, asdict(config)
        widths, wide = config.channels, 4 * config.channels[0]
        self.embed_time = nn.Sequential(nn.Linear(128, wide), nn.SiLU(), nn.Linear(wide, wide))
        self.images = _Images(config, wide)
        self.stem = nn.Conv3d(8 * FEATURES + 2 * config.carried + 4, widths[0], 3, padding=1)
        self.down, self.up, self.lower, self.raise_ = (nn.ModuleList() for _ in range(4))
        for level, width in enumerate(widths):
            if level:
                self.lower.append(nn.Conv3d(widths[level - 1], width, 2, stride=2))
            self.down.append(nn.ModuleList(Block(width, width, wide, nn.Conv3d) for _ in range(config.blocks)))
        self.middle = Attention(widths[-1], config.heads_width, config.cells >> len(widths))
        for level in reversed(range(len(widths))):
            width = widths[level]
            first = 2 * width if level < len(widths) - 1 else width
            self.up.append(nn.ModuleList(
                Block(first if k == 0 else width, width, wide, nn.Conv3d) for k in range(config.blocks)
            ))  # fmt: skip
            if level:
                self.raise_.append(nn.Conv3d(width, widths[level - 1], 1))
        self.head = nn.Sequential(group_norm(widths[0]), nn.SiLU(), nn.Conv3d(widths[0], 8 * 4, 3, padding=1))
        nn.init.constant_(self.head[2].bias[:8], LIKELY_EMPTY)
        self._place()

    def _place(self) -> None:
        """Tables of where views show cells: not part of the weights."""
        c, shape = self.settings, self.settings.shape
        fine, coarse = cell_centers(c.cells), cell_centers(c.cells // 2)
        pixels, inside = shape.landing(fine)
        self.register_buffer("pixels", pixels, persistent=False)
        self.register_buffer("inside", inside, persistent=False)
        self.register_buffer("nearness", shape.project(fine)[..., 2], persistent=False)
        seen = shape.project(coarse)
        at = torch.stack([(seen[..., 0] + 0.5) * 2 / c.size_px - 1, (seen[..., 1] + 0.5) * 2 / c.size_px - 1,
                          seen[..., 2]], -1)  # fmt: skip
        self.register_buffer("frustum", at[:, None, None], persistent=False)  # V 1 1 N 3
        across = coarse.T.reshape(3, *[c.cells // 2] * 3)
        self.register_buffer("places", torch.cat([across, across.norm(dim=0, keepdim=True)]), persistent=False)

    @classmethod
    def from_pretrained(cls, folder: str | Path, dtype: torch.dtype = torch.float32) -> "RingVolume":
        """Raises OSError, ValueError or a safetensors error: the folder is not whole."""
        from safetensors.torch import load_file

        fields = json.loads((Path(folder) / CONFIG).read_text())
        config = RingVolumeConfig(**{k: _tuples(v) for k, v in fields.items()})
        network = cls(config)
        network.load_state_dict(load_file(Path(folder) / WEIGHTS))
        return network.to(dtype)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """As diffusers lays its models out."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(self.config, indent=2))
        save_file({k: v.detach().to(dtype).cpu().contiguous() for k, v in self.state_dict().items()}, folder / WEIGHTS)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.stem.weight.dtype

    def forward(
        self,
        sample: Float[Tensor, "N C H W"],
        timestep: Float[Tensor, "..."],
        class_labels: Int64[Tensor, " N"],
        return_dict: bool = False,
        rings: int = 1,
    ) -> tuple[Float[Tensor, "N 5 H W"]]:
        """The flow at `timestep` (1000 sigma; one, or one a ring). The batch is `rings` rings, one after the other."""
        sigma = (timestep.float() / 1000).reshape(-1).expand(rings)
        clean = self.clean(sample, sigma, class_labels, rings)
        noisy = sample[:, : self.settings.out_channels]
        sigma = sigma.clamp_min(MIN_SIGMA).repeat_interleave(len(sample) // rings)
        return ((noisy - clean) / sigma[:, None, None, None].to(noisy.dtype),)

    def clean(
        self, sample: Float[Tensor, "N C H W"], sigma: Float[Tensor, " S"], rows: Int64[Tensor, " N"], rings: int = 1
    ) -> Float[Tensor, "N 5 H W"]:
        """The images without noise, as far as they can be told; rows rise. Those that close the ring are not looked at.

        Raises:
            torch.OutOfMemoryError: no row is of the ring, as when views are asked for one by one.
        """
        shown = rows[: len(sample) // rings]
        of_ring = shown < self.settings.num_class_embeds
        if not of_ring.any():
            raise torch.OutOfMemoryError("a ring's volume needs views of the ring, in every part of the batch")
        looks = sample.unflatten(0, (rings, len(shown)))[:, of_ring].flatten(0, 1)
        ask = self._both_ways if self.settings.mirrored else self.volume
        volume = ask(looks, sigma, shown[of_ring], rings)
        volume = torch.cat([volume[:, :1] - math.log(self.settings.inside_from / (1 - self.settings.inside_from)),
                            volume[:, 1:]], 1)  # fmt: skip
        images, first = [], 0
        for shape in self.settings.shapes:
            own = [row - first for row in shown.tolist() if first <= row < first + shape.views]
            images += [images_of_volume(volume, shape, own)] if own else []
            first += shape.views
        return torch.cat(images, 1).flatten(0, 1).to(sample.dtype)

    def _both_ways(self, looks: Tensor, sigma: Tensor, rows: Tensor, rings: int) -> Float[Tensor, "S 4 G G G"]:
        """Mean of what is told of the views and of their mirror images; azimuth 0 stands in the mirror."""
        one = self.volume(looks, sigma, rows, rings).float()
        other = self.volume(looks.flip(-1), sigma, -rows % self.settings.num_class_embeds, rings).float().flip(3)
        inside = (one[:, :1].sigmoid() + other[:, :1].sigmoid()) / 2
        return torch.cat([inside.logit(1e-6), (one[:, 1:] + other[:, 1:]) / 2], 1)

    def volume(
        self, sample: Float[Tensor, "N C H W"], sigma: Float[Tensor, " S"], rows: Int64[Tensor, " V"], rings: int = 1
    ) -> Float[Tensor, "S 4 G G G"]:
        """Logits of being inside the object, and colours (-1..1), of the cells (x, y, z)."""
        dtype = sample.dtype
        hint = functional.silu(self.embed_time(waves(1000 * sigma, 128).to(dtype)))
        x = self.stem(torch.cat([self._evidence(sample, rows, rings), self._carried(sample, hint, rows, rings),
                                 self.places.to(dtype).expand(rings, -1, -1, -1, -1)], 1))  # fmt: skip
        kept = []
        for level, blocks in enumerate(self.down):
            if level:
                x = self.lower[level - 1](x)
            for block in blocks:
                x = block(x, hint)
            kept.append(x)
        x = self.middle(x)
        for index, blocks in enumerate(self.up):
            level = len(kept) - 1 - index
            if index:
                x = functional.interpolate(self.raise_[index - 1](x), scale_factor=2.0, mode="nearest")
                x = torch.cat([x, kept[level]], 1)
            for block in blocks:
                x = block(x, hint)
        return spread(self.head(x))

    def _evidence(self, sample: Tensor, rows: Tensor, rings: int) -> Float[Tensor, "S K g g g"]:
        with torch.no_grad():
            images = sample.reshape(rings, len(rows), sample.shape[1], -1)
            told = evidence_of(images, self.pixels[rows], self.inside[rows], self.nearness[rows].to(sample.dtype))
        return packed(told.reshape(rings, FEATURES, *[self.settings.cells] * 3))

    def _carried(self, sample: Tensor, hint: Tensor, rows: Tensor, rings: int) -> Float[Tensor, "S K g g g"]:
        """Mean and maximum of what the views say of the cells, each along its rays."""
        c, half = self.settings, self.settings.cells // 2
        said = self.images(sample, hint.repeat_interleave(len(rows), 0))
        said = said.reshape(rings, len(rows), c.carried, c.depths, *said.shape[-2:])
        total, most = 0, None
        for k in range(len(rows)):
            at = self.frustum[rows[k]].expand(rings, -1, -1, -1, -1).to(said.dtype)
            one = functional.grid_sample(said[:, k], at, align_corners=False)[:, :, 0, 0]
            total, most = total + one, one if most is None else torch.maximum(most, one)
        both = torch.cat([total / len(rows), most], 1)
        return both.reshape(rings, -1, half, half, half).to(sample.dtype)


class _Images(nn.Module):
    """From images at two sizes to features along their rays, nearness -1 first."""

    def __init__(self, config: RingVolumeConfig, hint: int) -> None:
        super().__init__()
        width = config.image_channels
        self.stem = nn.Conv2d(4 * config.in_channels, width, 3, padding=1)
        self.fine = Block(width, width, hint, nn.Conv2d)
        self.lower = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.coarse = nn.ModuleList(Block(2 * width, 2 * width, hint, nn.Conv2d) for _ in range(2))
        self.join = Block(3 * width, width, hint, nn.Conv2d)
        self.head = nn.Conv2d(width, config.carried * config.depths, 1)

    def forward(self, images: Tensor, hint: Tensor) -> Tensor:
        x = self.fine(self.stem(functional.pixel_unshuffle(images, 2)), hint)
        y = self.lower(x)
        for block in self.coarse:
            y = block(y, hint)
        y = functional.interpolate(y, scale_factor=2.0, mode="nearest")
        return self.head(self.join(torch.cat([x, y], 1), hint))


def _tuples(value: Any) -> Any:
    """What json has as lists."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
