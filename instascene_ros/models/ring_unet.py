"""A small network that denoises a ring of RGB-D-alpha views at once, each view attending to all the others.

It says what the clean images are and answers with the flow towards noise, (noisy - clean) / sigma, that flow-matching
schedulers expect: silhouettes are easier to say than their noise (Li and He, "Back to basics", 2025).
"""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

RAY_CHANNELS = 6  # direction and moment
MIN_SIGMA = 0.05  # below it the answer would be noise of the network's own
WEIGHTS, CONFIG = "diffusion_pytorch_model.safetensors", "config.json"


@dataclass(frozen=True)
class RingUNetConfig:
    """What the folder's config.json holds."""

    in_channels: int = 13  # see `ring_model`
    out_channels: int = 5
    num_class_embeds: int = 16  # views of the ring
    channels: tuple[int, ...] = (96, 192, 256)  # at half the image's size, and at half of that each
    blocks: int = 2  # on the way down at each size; one more on the way up
    attention: tuple[bool, ...] = (False, False, True)  # across views, at each size
    heads_width: int = 32
    elevation_deg: float = 30.0
    distance_radii: float = 4.0
    margin: float = 1.15
    architecture: str = field(default="RingUNet")


class RingUNet(nn.Module):
    """See the module. Called as diffusers' UNet2DModel with class labels, which are the rows of the views."""

    def __init__(self, config: RingUNetConfig) -> None:
        super().__init__()
        self.settings, self.config = config, asdict(config)
        wide, widths = 4 * config.channels[0], config.channels
        self.embed_time = nn.Sequential(nn.Linear(128, wide), nn.SiLU(), nn.Linear(wide, wide))
        self.embed_view = nn.Embedding(config.num_class_embeds, wide)
        self.stem = nn.Conv2d(4 * config.in_channels + RAY_CHANNELS, widths[0], 3, padding=1)
        self.down, self.up, self.lower, self.raise_ = (nn.ModuleList() for _ in range(4))
        carried = [widths[0]]
        for level, width in enumerate(widths):
            if level:
                self.lower.append(nn.Conv2d(widths[level - 1], width, 3, stride=2, padding=1))
                carried.append(width)
            for _ in range(config.blocks):
                self.down.append(_Block(width, width, wide, config, config.attention[level]))
                carried.append(width)
        self.middle = _Block(widths[-1], widths[-1], wide, config, True)
        width = widths[-1]
        for level in reversed(range(len(widths))):
            for _ in range(config.blocks + 1):
                self.up.append(_Block(width + carried.pop(), widths[level], wide, config, config.attention[level]))
                width = widths[level]
            if level:
                self.raise_.append(nn.Conv2d(width, width, 3, padding=1))
        self.head = nn.Sequential(_norm(width), nn.SiLU(), nn.Conv2d(width, 4 * config.out_channels, 3, padding=1))

    @classmethod
    def from_pretrained(cls, folder: str | Path, dtype: torch.dtype = torch.float32) -> "RingUNet":
        """Raises OSError, ValueError or a safetensors error: the folder is not whole."""
        from safetensors.torch import load_file

        fields = json.loads((Path(folder) / CONFIG).read_text())
        config = RingUNetConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
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

    def widened(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a network that was told less, as this one has them: it gives the same answers at first."""
        stem = state["stem.weight"]
        lacking = self.stem.weight.shape[1] - stem.shape[1]
        if lacking <= 0:
            return state
        images, rays = stem[:, :-RAY_CHANNELS], stem[:, -RAY_CHANNELS:]
        told = torch.zeros(len(stem), lacking, *stem.shape[2:], dtype=stem.dtype)
        return state | {"stem.weight": torch.cat([images, told, rays], dim=1)}

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
        """The flow at `timestep` (1000 sigma; one, or one a view). The batch is `rings` rings, one after the other."""
        sigma = (timestep.float() / 1000).reshape(-1).expand(len(sample))
        clean = self.clean(sample, sigma, class_labels, rings)
        noisy = sample[:, : self.settings.out_channels]
        return ((noisy - clean) / sigma.clamp_min(MIN_SIGMA)[:, None, None, None].to(noisy.dtype),)

    def clean(
        self, sample: Float[Tensor, "N C H W"], sigma: Float[Tensor, " N"], rows: Int64[Tensor, " N"], rings: int = 1
    ) -> Float[Tensor, "N 5 H W"]:
        """The images without noise, as far as they can be told."""
        dtype = sample.dtype
        hint = self.embed_time(_waves(1000 * sigma, 128).to(dtype)) + self.embed_view(rows).to(dtype)
        hint = functional.silu(hint)
        images = functional.pixel_unshuffle(sample, 2)
        x = self.stem(torch.cat([images, self._rays(images.shape[-1], rows, dtype)], dim=1))
        kept, blocks, lowers, raises = [x], iter(self.down), iter(self.lower), iter(self.raise_)
        rays = [self._rays(images.shape[-1] >> k, rows, dtype) for k in range(len(self.settings.channels))]
        for level in range(len(self.settings.channels)):
            if level:
                x = next(lowers)(x)
                kept.append(x)
            for _ in range(self.settings.blocks):
                x = next(blocks)(x, hint, rays[level], rings)
                kept.append(x)
        x = self.middle(x, hint, rays[-1], rings)
        blocks = iter(self.up)
        for level in reversed(range(len(self.settings.channels))):
            for _ in range(self.settings.blocks + 1):
                x = next(blocks)(torch.cat([x, kept.pop()], dim=1), hint, rays[level], rings)
            if level:
                x = next(raises)(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return functional.pixel_shuffle(self.head(x), 2)

    def _rays(self, size_px: int, rows: Int64[Tensor, " N"], dtype: torch.dtype) -> Float[Tensor, "N 6 S S"]:
        """Direction and moment of every pixel's ray about the sphere's middle, in radii, azimuth 0 along x."""
        c = self.settings
        azimuth = rows.float() * (2 * math.pi / c.num_class_embeds)
        elevation = torch.full_like(azimuth, math.radians(c.elevation_deg))
        level = elevation.cos()
        outward = torch.stack([level * azimuth.cos(), level * azimuth.sin(), elevation.sin()], -1)
        right = torch.stack([-azimuth.sin(), azimuth.cos(), torch.zeros_like(azimuth)], -1)
        down = torch.cross(-outward, right, dim=-1)
        at = (torch.arange(size_px, device=rows.device) - (size_px - 1) / 2) * (
            2 * c.margin / c.distance_radii / size_px
        )
        v, u = torch.meshgrid(at, at, indexing="ij")
        ray = -outward[:, None, None] + u[..., None] * right[:, None, None] + v[..., None] * down[:, None, None]
        ray = functional.normalize(ray, dim=-1)
        moment = torch.cross((c.distance_radii * outward)[:, None, None].expand_as(ray), ray, dim=-1)
        return torch.cat([ray, moment], -1).permute(0, 3, 1, 2).to(dtype)


class _Block(nn.Module):
    """Two convolutions, told the noise level and the view; then, where wanted, attention over all views."""

    def __init__(self, width_in: int, width: int, hint: int, config: RingUNetConfig, attends: bool) -> None:
        super().__init__()
        self.norm_in, self.conv_in = _norm(width_in), nn.Conv2d(width_in, width, 3, padding=1)
        self.hint, self.norm_out = nn.Linear(hint, 2 * width), _norm(width)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()
        self.attend = _Attention(width, config.heads_width) if attends else None
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x: Tensor, hint: Tensor, rays: Tensor, rings: int) -> Tensor:
        h = self.conv_in(functional.silu(self.norm_in(x)))
        scale, shift = self.hint(hint)[:, :, None, None].chunk(2, dim=1)
        h = self.conv_out(functional.silu(self.norm_out(h) * (1 + scale) + shift))
        x = self.skip(x) + h
        return x if self.attend is None else self.attend(x, rays, rings)


class _Attention(nn.Module):
    """Every pixel of a ring attends to all of them; a pixel's place is its ray."""

    def __init__(self, width: int, heads_width: int) -> None:
        super().__init__()
        self.heads = max(1, width // heads_width)
        self.norm, self.norm_mlp = _norm(width), _norm(width)
        self.place = nn.Conv2d(6 * RAY_CHANNELS, width, 1)
        self.qkv, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        self.mlp = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.GELU(), nn.Conv2d(2 * width, width, 1))
        for last in (self.out, self.mlp[2]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, rays: Tensor, rings: int) -> Tensor:
        n, width, height, across = x.shape
        angles = torch.cat([rays * (math.pi / 2 * 2**k) for k in range(3)], dim=1)
        placed = self.norm(x) + self.place(torch.cat([angles.sin(), angles.cos()], dim=1))
        qkv = self.qkv(placed).reshape(rings, n // rings, 3, self.heads, width // self.heads, height * across)
        qkv = qkv.permute(2, 0, 3, 1, 5, 4).reshape(3, rings, self.heads, -1, width // self.heads)
        mixed = functional.scaled_dot_product_attention(*qkv.unbind(0))
        mixed = mixed.reshape(rings, self.heads, n // rings, height * across, -1).permute(0, 2, 1, 4, 3)
        x = x + self.out(mixed.reshape(n, width, height, across))
        return x + self.mlp(self.norm_mlp(x))


class _Norm(nn.GroupNorm):
    """In the numbers that come in: autocast would move twice the bytes, and sums are of single precision anyway."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return functional.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def _norm(width: int) -> nn.GroupNorm:
    return _Norm(math.gcd(16, width), width)


def _waves(at: Float[Tensor, " N"], width: int) -> Float[Tensor, "N C"]:
    """Sines and cosines of a number, from slow to fast."""
    speeds = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=at.device) / (width // 2))
    angles = at[:, None] * speeds
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
