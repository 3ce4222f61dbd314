"""Functions recorded on a GPU: what they give, and that their memory can be had back."""

from typing import NamedTuple

import pytest
import torch

from instascene_ros.core.replay import Replayed


class Sums(NamedTuple):
    total: torch.Tensor
    doubled: torch.Tensor


def sums(image: torch.Tensor, other: torch.Tensor, factor: float) -> Sums:
    return Sums(factor * image + other, 2 * image)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_results_are_those_of_the_function_and_survive_the_next_call(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    replayed, ones = Replayed(sums), torch.ones(4, 5, device=device)
    first = replayed(ones, 3 * ones, factor=2.0)
    second = replayed(10 * ones, ones, factor=2.0)
    assert (first.total == 5).all() and (first.doubled == 2).all()
    assert (second.total == 21).all() and (second.doubled == 20).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_was_recorded_can_be_let_go_of_and_is_recorded_anew() -> None:
    replayed, image = Replayed(sums), torch.ones(1024, 1024, device="cuda")
    before = torch.cuda.memory_allocated()
    replayed(image, image, factor=1.0)
    assert torch.cuda.memory_allocated() - before > 3 * image.nbytes
    Replayed.forget_all()
    assert torch.cuda.memory_allocated() <= before
    assert (replayed(image, image, factor=1.0).total == 2).all()
