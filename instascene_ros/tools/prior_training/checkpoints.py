"""A run on disk: averaged and raw weights in files of at most 15 MiB, the log, and the curve."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

MAX_BYTES = 15 << 20


def save_weights(network: nn.Module, folder: Path, name: str) -> None:
    """Half precision, as many files as that takes."""
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, value in network.state_dict().items():
        half = value.detach().half().cpu().contiguous()
        if size + half.nbytes > MAX_BYTES:
            parts.append({})
            size = 0
        parts[-1][key] = half
        size += half.nbytes
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts):
        save_file(part, folder / f"{name}_{number}.safetensors")


def read_weights(folder: Path, name: str) -> dict[str, Tensor]:
    """Raises FileNotFoundError: the folder has no weights of that name."""
    files = sorted(folder.glob(f"{name}_*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{folder} has no {name}_0.safetensors: is it the folder of a training run?")
    return {key: value.float() for file in files for key, value in load_file(file).items()}


def save_log(log: list[dict[str, float]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in log) + "\n]\n")


def save_curve(log: list[dict[str, float]], file: Path) -> None:
    """Loss and figures against the samples that were learned from."""
    from matplotlib.figure import Figure

    names = [name for name in ("loss", "unseen family alpha_iou", "unseen family depth_error") if name in log[-1]]
    figure = Figure(figsize=(4 * len(names), 3))
    for name, axes in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
        rows = [(row["samples"], row[name]) for row in log if name in row]
        axes.plot(*zip(*rows, strict=True))
        axes.set(title=name, xlabel="samples")
    figure.tight_layout()
    figure.savefig(file, dpi=80)


class Average:
    """Weights averaged over the last steps; fewer while there are few."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self.shadow = [p.detach().clone() for p in network.parameters()]

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self.shadow, list(network.parameters()), 1 - decay)

    def into(self, network: nn.Module) -> None:
        """Copy into another network of the same kind."""
        with torch.no_grad():
            for own, averaged in zip(network.parameters(), self.shadow, strict=True):
                own.copy_(averaged)
