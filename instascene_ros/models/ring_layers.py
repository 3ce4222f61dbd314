"""Layers of networks of images and volumes that are told a noise level."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions, told the noise level."""

    def __init__(self, width_in: int, width: int, hint: int, conv: type[nn.Conv2d] | type[nn.Conv3d]) -> None:
        super().__init__()
        self.norm_in, self.conv_in = group_norm(width_in), conv(width_in, width, 3, padding=1)
        self.hint, self.norm_out = nn.Linear(hint, 2 * width), group_norm(width)
        self.conv_out = conv(width, width, 3, padding=1)
        self.skip = conv(width_in, width, 1) if width_in != width else nn.Identity()
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x: Tensor, hint: Tensor) -> Tensor:
        h = self.norm_out(self.conv_in(functional.silu(self.norm_in(x))))
        told = self.hint(hint)
        scale, shift = told.reshape(*told.shape, *[1] * (x.ndim - 2)).chunk(2, dim=1)
        return self.skip(x) + self.conv_out(functional.silu(h * (1 + scale) + shift))


class Attention(nn.Module):
    """Every cell of the smallest volume attends to all others."""

    def __init__(self, width: int, heads_width: int, cells: int) -> None:
        super().__init__()
        self.heads = max(1, width // heads_width)
        self.norm, self.norm_mlp = group_norm(width), group_norm(width)
        self.place = nn.Parameter(0.02 * torch.randn(1, width, cells, cells, cells))
        self.qkv, self.out = nn.Conv3d(width, 3 * width, 1), nn.Conv3d(width, width, 1)
        self.mlp = nn.Sequential(nn.Conv3d(width, 2 * width, 1), nn.GELU(), nn.Conv3d(2 * width, width, 1))
        for last in (self.out, self.mlp[2]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, width, *cells = x.shape
        qkv = self.qkv(self.norm(x) + self.place.to(x.dtype))
        qkv = qkv.reshape(n, 3, self.heads, width // self.heads, -1).permute(1, 0, 2, 4, 3)
        mixed = functional.scaled_dot_product_attention(*qkv.unbind(0))
        x = x + self.out(mixed.transpose(2, 3).reshape(n, width, *cells))
        return x + self.mlp(self.norm_mlp(x))


class _Norm(nn.GroupNorm):
    """In the numbers that come in: autocast would move twice the bytes, and sums are of single precision anyway."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return functional.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


def group_norm(width: int) -> nn.GroupNorm:
    """Of at most 16 groups."""
    return _Norm(math.gcd(16, width), width)


def waves(at: Float[Tensor, " N"], width: int) -> Float[Tensor, "N C"]:
    """Sines and cosines of a number, from slow to fast."""
    speeds = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=at.device) / (width // 2))
    angles = at[:, None] * speeds
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def packed(x: Float[Tensor, "S C G G G"]) -> Float[Tensor, "S K g g g"]:
    """Eight neighbouring cells become channels of one."""
    s, c, g = x.shape[:3]
    x = x.reshape(s, c, g // 2, 2, g // 2, 2, g // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(s, 8 * c, g // 2, g // 2, g // 2)


def spread(x: Float[Tensor, "S K g g g"]) -> Float[Tensor, "S C G G G"]:
    """The reverse."""
    s, c, g = x.shape[0], x.shape[1] // 8, x.shape[2]
    x = x.reshape(s, c, 2, 2, 2, g, g, g).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(s, c, 2 * g, 2 * g, 2 * g)
