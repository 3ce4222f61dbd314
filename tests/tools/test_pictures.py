"""Pictures of the map."""

import torch

from instascene_ros.tools.pictures import feature_colors


def test_features_alike_have_one_colour_and_others_another() -> None:
    random = torch.Generator().manual_seed(0)
    classes = torch.arange(60) % 3
    features = torch.eye(16)[classes] + 0.01 * torch.randn(60, 16, generator=random)
    features[59] = 0  # was never refined
    colors = feature_colors(features)
    middles = torch.stack([colors[:59][classes[:59] == c].mean(dim=0) for c in range(3)])
    assert (colors[:59] - middles[classes[:59]]).abs().mean() < 0.1
    assert torch.cdist(middles, middles)[[0, 0, 1], [1, 2, 2]].min() > 0.5
    assert colors[59].tolist() == [0.5, 0.5, 0.5] and 0 <= colors.min() <= colors.max() <= 1


def test_a_map_of_too_few_features_is_grey() -> None:
    assert feature_colors(torch.zeros(5, 16)).tolist() == [[0.5] * 3] * 5
