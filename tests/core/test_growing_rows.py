"""Rows that grow in place hold what concatenating and selecting would give."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.growing_rows import GrowingRows
from instascene_ros.core.refinement import LEARNING_RATES, RowAdam


def surfels(n: int, first: int = 0) -> GaussianMap:
    """Rows that say which they are, in every column."""
    number = torch.arange(first, first + n, dtype=torch.float32)
    columns = [number[:, None].repeat(1, width) for width in (3, 4, 2, 3)]
    made = GaussianMap.from_surfels(columns[0], columns[1], columns[2] + 1, torch.full((n,), 0.5), columns[3])
    made.confidence[:], made.birth_ns[:] = number, number.long()
    made.vote_ids[:], made.vote_weights[:] = number.int()[:, None], number[:, None]
    return made


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**32 - 1)), min_size=1, max_size=12))
def test_appending_and_keeping_is_concatenating_and_selecting(steps: list[tuple[int, int]]) -> None:
    grown, plain, born = surfels(0), torch.zeros(0), 0
    for count, seed in steps:
        grown.append(surfels(count, born))
        plain = torch.cat([plain, torch.arange(born, born + count, dtype=torch.float32)])
        born += count
        kept = torch.rand(len(plain), generator=torch.Generator().manual_seed(seed)) < 0.8
        grown.keep(kept)
        plain = plain[kept]
        assert len(grown) == len(plain)
        for name in ("means_m", "colors", "vote_weights", "vote_ids", "birth_ns", "confidence"):
            column = getattr(grown, name)
            numbers = column if column.dim() == 1 else column[:, 0]
            assert column.is_contiguous() and torch.equal(numbers.float(), plain), name


def test_rows_are_copied_rarely_however_many_appends_there_are() -> None:
    growing, rows, copies = GrowingRows(), torch.zeros(1000, 3), 0
    for _ in range(1000):
        before = rows.data_ptr()
        rows = growing.append("rows", rows, torch.ones(100, 3))
        copies += rows.data_ptr() != before
    assert len(rows) == 101_000 and copies < 25


def test_a_column_that_was_exchanged_is_grown_from_what_it_is_now() -> None:
    grown = surfels(5)
    grown.append(surfels(5, 5))
    grown.colors = grown.colors + 100
    grown.append(surfels(2, 10))
    assert grown.colors[:, 0].tolist() == [*range(100, 110), 10, 11]
    assert grown.means_m[:, 0].tolist() == list(range(12))


@pytest.mark.parametrize("change", ["append", "keep"])
def test_a_copy_and_a_selection_have_rows_of_their_own(change: str) -> None:
    grown = surfels(4)
    grown.append(surfels(4, 4))
    front, copied = grown.select(slice(0, 3)), grown.copied()
    if change == "append":
        front.append(surfels(3, 90))
        copied.append(surfels(3, 90))
    else:
        copied.keep(torch.arange(8) % 2 == 0)
    expected = surfels(8).columns()
    assert all(np.array_equal(column, expected[name]) for name, column in grown.columns().items())


def test_moments_of_the_optimiser_stay_beside_their_rows() -> None:
    grown, optimizer = surfels(6), RowAdam()
    optimizer.grow(grown)
    gradients = {name: torch.zeros_like(getattr(grown, name)) for name in LEARNING_RATES}
    gradients["means_m"][:, 0] = gradients["colors"][:, 0] = torch.arange(6.0)
    optimizer.step(grown, gradients)
    kept = torch.tensor([True, False, True, True, False, True])
    grown.keep(kept)
    optimizer.keep(kept)
    grown.append(surfels(2, 6))
    optimizer.grow(grown)
    columns = optimizer.columns()
    assert columns["first"][:, 0] == pytest.approx([0, 0.2, 0.3, 0.5, 0, 0], abs=1e-6)
    assert columns["steps"].tolist() == [0, 1, 1, 1, 0, 0]
