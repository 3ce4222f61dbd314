"""Arrays of the host on the map's device."""

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor


def uploaded(array: Shaped[np.ndarray, "..."], device: torch.device | str) -> Shaped[Tensor, "..."]:
    """The array on `device`, without waiting for it. On a GPU it is a copy."""
    return torch.from_numpy(np.require(array, requirements=("C", "W"))).to(device, non_blocking=True)
