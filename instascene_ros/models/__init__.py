"""2D segmenters, completion priors and inpainters by name; each is imported only when asked for."""

import importlib.util
import logging
from dataclasses import replace
from pathlib import Path

from instascene_ros.core.config import Config
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.protocols import Inpainter, Prior, Segmenter

log = logging.getLogger(__name__)

NETWORKS = ("detectron2", "mask2former", "sam2")
SEGMENTERS = ("geometric", *NETWORKS, "recorded")
PRIORS = ("geometric",)  # those that need no model
METHODS = ("auto", *PRIORS, "diffusion")
SHIPPED = Path(__file__).parents[1] / "weights/ring"


def needs_depth(segmenter: str) -> bool:
    """Whether the segmenter of that name looks at depth; the networks see colour alone."""
    return segmenter not in NETWORKS


def make_segmenter(name: str, config: Config) -> Segmenter:
    """Raises BackendUnavailableError: no segmenter has that name, or its library, weights or device are missing."""
    if name == "geometric":
        from instascene_ros.models.geometric_segmenter import GeometricSegmenter

        return GeometricSegmenter(config.segmentation)
    if name == "detectron2":
        from instascene_ros.models.detectron2_segmenter import Detectron2Segmenter

        return Detectron2Segmenter.load(config.networks)
    if name == "mask2former":
        from instascene_ros.models.mask2former import Mask2FormerSegmenter

        return Mask2FormerSegmenter.load(config.networks)
    if name == "sam2":
        from instascene_ros.models.sam2 import Sam2Segmenter

        return Sam2Segmenter.load(config.networks)
    if name == "recorded":
        from instascene_ros.models.recorded import RecordedMasks

        return RecordedMasks()
    raise BackendUnavailableError(f"there is no segmenter {name!r}; expected one of: {', '.join(SEGMENTERS)}")


def chosen_prior(name: str, config: Config) -> str:
    """What `auto` stands for: a learned prior where one can run, otherwise geometry alone."""
    if name != "auto":
        return name
    return "diffusion" if config.completion.model or shipped_model() else "geometric"


def shipped_model() -> Path | None:
    """The folder of the prior that comes with the package, where that can run: see docs/completion_models.md."""
    whole = (SHIPPED / "denoiser/diffusion_pytorch_model.safetensors").is_file()
    return SHIPPED if whole and importlib.util.find_spec("diffusers") else None


def make_prior(name: str, config: Config) -> Prior:
    """Raises BackendUnavailableError: no prior has that name, or its model, library, weights or device are missing."""
    chosen = chosen_prior(name, config)
    if chosen == "geometric":
        from instascene_ros.models.geometric_prior import GeometricPrior

        return GeometricPrior(config.completion)
    if chosen == "diffusion":
        model = config.completion.model or shipped_model()
        if model is None:
            raise BackendUnavailableError(
                "the learned prior of this package needs diffusers (pip install diffusers) and its weights in "
                f"{SHIPPED}; set completion.model (--completion-model) to a model folder in diffusers' format, or use "
                "method auto, which takes geometric until then"
            )
        from instascene_ros.models.diffusers_prior import diffusers_prior

        return diffusers_prior(replace(config.completion, model=str(model)))
    raise BackendUnavailableError(f"there is no completion method {name!r}; expected one of: {', '.join(METHODS)}")


def make_inpainter(config: Config) -> Inpainter | None:
    """What fills the holes of removed objects; None, with a warning, where nothing is installed that can.

    Raises:
        BackendUnavailableError: `removal.model` names a pipeline that cannot be loaded.
    """
    if config.removal.model:
        from instascene_ros.models.diffusers_inpainter import DiffusersInpainter

        return DiffusersInpainter(config.removal)
    from instascene_ros.models.inpainting import OpenCvInpainter

    try:
        return OpenCvInpainter()
    except BackendUnavailableError as error:
        log.warning("%s; until then removed objects leave holes", error)
        return None
