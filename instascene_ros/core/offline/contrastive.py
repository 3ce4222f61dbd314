"""The contrastive loss of the feature field (method 1.6): samples gather at the mean of their class."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.5, 1.0
SPREAD_GAIN, SIZE_OFFSET = 10.0, 1000.0
ABSENT = -1e4  # logit of a class that is not in the sample


def prototype_loss(
    features: Float32[Tensor, "S D"], classes: Int64[Tensor, " S"], num_classes: int
) -> Float32[Tensor, ""]:
    """Sum over unit features of the cross entropy against the class means present in the sample (ProtoNCE).

    Each class has its own temperature, lower where its features are close together:
    phi = clip(10 * mean distance to the class mean / ln(n + 1000), 0.5, 1).
    Class -1 takes no part: shapes are then the same in every step.
    """
    counted = (classes >= 0).to(features.dtype)
    index = classes.clamp(min=0)
    sizes = features.new_zeros(num_classes).index_add(0, index, counted)
    per_class = sizes.clamp(min=1)
    means = features.new_zeros(num_classes, features.shape[1]).index_add(0, index, features * counted[:, None])
    means = means / per_class[:, None]
    with torch.no_grad():
        distances = (features - means[index]).norm(dim=1) * counted
        spread = features.new_zeros(num_classes).index_add(0, index, distances) / per_class
        phi = (SPREAD_GAIN * spread / (per_class + SIZE_OFFSET).log()).clamp(MIN_TEMPERATURE, MAX_TEMPERATURE)
    logits = (features @ means.T / phi).masked_fill(sizes == 0, ABSENT)
    chosen = logits.gather(1, index[:, None])[:, 0]
    return ((logits.logsumexp(dim=1) - chosen) * counted).sum()
