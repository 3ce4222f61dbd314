"""Entity masks from detectron2 models, CropFormer among them; the only module that imports detectron2."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor, nn

from instascene_ros.core.config import NetworkConfig
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.frame import Frame
from instascene_ros.core.install_lines import DETECTRON2
from instascene_ros.core.mask_painting import painted
from instascene_ros.core.masks import Masks
from instascene_ros.models.network_images import placement

SHORT_PX, LONG_PX = 800, 1333  # of the image that a lazy configuration's model gets

# An image and its channel order -> the model's outputs for it: `instances` or `panoptic_seg`
Predictor = Callable[[UInt8[np.ndarray, "H W 3"]], Mapping[str, Any]]


class Detectron2Segmenter:
    """Any instance or panoptic model; EntitySeg's CropFormer with its project (`networks.project`)."""

    full_size = True

    def __init__(self, predict: Predictor, config: NetworkConfig) -> None:
        self._predict, self._config = predict, config

    @classmethod
    def load(cls, config: NetworkConfig) -> "Detectron2Segmenter":
        """Raises BackendUnavailableError: detectron2, the project, the configuration or the weights are missing."""
        device, dtype = placement(config)
        try:
            import detectron2  # noqa: F401
        except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
            raise BackendUnavailableError(
                f"the segmenter detectron2 needs detectron2 ({error}), which is built from source: {DETECTRON2}"
            ) from error
        if not config.config_file:
            raise BackendUnavailableError(
                "networks.config_file (--model-config) is empty; expected the model's configuration: a path, or a name "
                "of detectron2's model zoo such as COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
            )
        try:
            return cls(_predictor(config, device, dtype), config)
        except (OSError, ImportError, KeyError, ValueError, AttributeError, AssertionError, RuntimeError) as error:
            if isinstance(error, BackendUnavailableError):
                raise
            raise BackendUnavailableError(
                f"cannot load {config.config_file} with weights {config.model or 'of the configuration'}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def __call__(self, frame: Frame) -> Masks:
        masks, scores = entities_of(self._predict(frame.rgb))
        return painted(masks, scores, self._config)


def entities_of(outputs: Mapping[str, Any]) -> tuple[Bool[np.ndarray, "M H W"], Float32[np.ndarray, " M"]]:
    """Scored masks of a model's outputs. A panoptic segmentation comes first: it has surfaces, too.

    Raises:
        BackendUnavailableError: the model segments neither instances nor everything.
    """
    if "panoptic_seg" in outputs:
        image, segments = outputs["panoptic_seg"]
        ids = torch.tensor([segment["id"] for segment in segments], dtype=image.dtype, device=image.device)
        scores = [float(segment.get("score", 1.0)) for segment in segments]
        return (image[None] == ids[:, None, None]).cpu().numpy(), np.array(scores, np.float32)
    if "instances" in outputs and outputs["instances"].has("pred_masks"):
        instances = outputs["instances"]
        masks = instances.pred_masks
        return (masks > 0.5 if masks.is_floating_point() else masks.bool()).cpu().numpy(), (
            instances.scores.detach().float().cpu().numpy()
        )
    raise BackendUnavailableError(
        f"the model gives {', '.join(outputs) or 'nothing'}; expected instances with masks, or panoptic_seg: "
        "choose the configuration of an instance or panoptic model"
    )


def _predictor(config: NetworkConfig, device: torch.device, dtype: torch.dtype) -> Predictor:
    from detectron2.data.transforms import ResizeShortestEdge

    if config.config_file.endswith(".py"):
        model, (short_px, long_px), channels = _lazy_model(config, device)
    else:
        model, (short_px, long_px), channels = _yaml_model(config, device)
    resize = ResizeShortestEdge([short_px, short_px], long_px)

    @torch.inference_mode()
    def predict(rgb: UInt8[np.ndarray, "H W 3"]) -> Mapping[str, Any]:
        image = rgb if channels == "RGB" else rgb[..., ::-1]
        image = resize.get_transform(image).apply_image(np.ascontiguousarray(image))
        pixels: Tensor = torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1).copy())
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return model([{"image": pixels.to(device), "height": rgb.shape[0], "width": rgb.shape[1]}])[0]

    return predict


def _yaml_model(config: NetworkConfig, device: torch.device) -> tuple[nn.Module, tuple[int, int], str]:
    """(model, short and long side of its images, their channels)."""
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    cfg = get_cfg()
    cfg.set_new_allowed(True)  # some projects set what nothing declares
    _extend(cfg, config.project)
    cfg.merge_from_file(_config_path(config.config_file))
    cfg.MODEL.DEVICE = device.type
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = config.min_score
    model = _with_weights(build_model(cfg), config.model or cfg.MODEL.WEIGHTS)
    return model, (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST), cfg.INPUT.FORMAT


def _lazy_model(config: NetworkConfig, device: torch.device) -> tuple[nn.Module, tuple[int, int], str]:
    """The same for a configuration written in Python."""
    from detectron2.config import LazyConfig, instantiate

    _extend(None, config.project)
    cfg = LazyConfig.load(_config_path(config.config_file))
    weights = config.model or cfg.get("train", {}).get("init_checkpoint", "")
    model = _with_weights(instantiate(cfg.model).to(device), weights)
    return model, (SHORT_PX, LONG_PX), cfg.model.get("input_format", "BGR")


def _config_path(name: str) -> str:
    from pathlib import Path

    from detectron2 import model_zoo

    return name if Path(name).is_file() else model_zoo.get_config_file(name)


def _with_weights(model: nn.Module, weights: str) -> nn.Module:
    from detectron2.checkpoint import DetectionCheckpointer

    if not weights:
        raise BackendUnavailableError("the configuration names no weights: give a file (networks.model, --model)")
    DetectionCheckpointer(model).load(weights)
    return model.eval()


def _extend(cfg: Any, project: str) -> None:
    """Import a project, which registers its parts, and let it add its keys as detectron2's projects do: by functions
    add_..._config. Mask2Former's family stands on DeepLab's keys, which come with detectron2."""
    if not project:
        return
    folder, _, package = project.rpartition(":")
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    for module in (import_module("detectron2.projects.deeplab"), import_module(package)):
        for name in sorted(vars(module)):
            if cfg is not None and name.startswith("add_") and name.endswith("_config"):
                getattr(module, name)(cfg)
