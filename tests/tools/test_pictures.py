"""Pictures of the map."""

import numpy as np
import torch

from instascene_ros.tools.pictures import feature_colors


def test_features_alike_have_one_colour_and_others_another() -> None:
    """Although most of them are of one thing."""
    random = torch.Generator().manual_seed(0)
    labels = np.array([0] * 900 + [3] * 20 + [7] * 20 + [8] * 20, np.int32)
    classes = np.unique(labels, return_inverse=True)[1]
    features = torch.eye(16)[classes] + 0.01 * torch.randn(len(labels), 16, generator=random)
    features[-1] = 0  # was never refined
    colors = feature_colors(features, labels)
    middles = torch.stack([colors[:-1][classes[:-1] == c].mean(dim=0) for c in range(4)])
    assert (colors[:-1] - middles[classes[:-1]]).abs().mean() < 0.1
    assert torch.pdist(middles).min() > 0.5
    assert colors[-1].tolist() == [0.5, 0.5, 0.5] and 0 <= colors.min() <= colors.max() <= 1


def test_a_map_of_too_few_things_is_grey() -> None:
    assert feature_colors(torch.zeros(5, 16), np.zeros(5, np.int32)).tolist() == [[0.5] * 3] * 5
