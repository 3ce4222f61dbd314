"""Rendering backends behind one contract."""

import torch

from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.rendering.contract import Rasterizer

BACKENDS = ("auto", "cpu", "gsplat", "reference")


def make_rasterizer(device: str = "auto", name: str | None = None) -> Rasterizer:
    """The backend called `name` for maps on `device` ("auto", "cpu" or "cuda").

    Without a name: gsplat on CUDA, the numba one on a CPU. A device of "auto" means CUDA where CUDA and gsplat are
    both there.

    Raises:
        BackendUnavailableError: the backend or device is unknown, or its library or GPU is missing.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise BackendUnavailableError(f"device is {device!r}; expected auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailableError("device cuda was asked for, but torch finds no GPU: use cpu or auto")
    if name in (None, "auto"):
        name = "gsplat" if device == "cuda" or (device == "auto" and _gsplat_works()) else "cpu"
    if name == "reference":
        from instascene_ros.core.rendering.reference import ReferenceRasterizer

        return ReferenceRasterizer()
    if name == "cpu":
        if device == "cuda":
            raise BackendUnavailableError("backend cpu renders maps on the CPU only: use device cpu, or backend gsplat")
        from instascene_ros.core.rendering.cpu import CpuRasterizer

        return CpuRasterizer()
    if name == "gsplat":
        from instascene_ros.core.rendering.gsplat_backend import GsplatRasterizer

        return GsplatRasterizer()
    raise BackendUnavailableError(f"rendering backend is {name!r}; expected one of {', '.join(BACKENDS)}")


def _gsplat_works() -> bool:
    from importlib.util import find_spec

    return torch.cuda.is_available() and find_spec("gsplat") is not None
