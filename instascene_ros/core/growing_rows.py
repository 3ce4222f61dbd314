"""Tensors of rows that grow in place."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

GROWTH = 1.25  # new room for this many times the rows: appending costs what is appended, on average four rows each


class Kept(NamedTuple):
    """Which rows of a table stay, found once for all its columns: a device is waited for once."""

    first: int  # rows before this one all stay
    rows: Int64[Tensor, " R"]  # all that stay, in order

    @classmethod
    def of(cls, kept: Bool[Tensor, " N"]) -> "Kept":
        rows = kept.nonzero()[:, 0]
        if rows.is_cuda or len(rows) == 0:  # a GPU copies whole columns sooner than it tells where to begin
            return cls(0, rows)
        moved = rows != torch.arange(len(rows))
        return cls(int(moved.int().argmax()) if bool(moved.any()) else len(rows), rows)


class GrowingRows:
    """Room behind row-aligned tensors, by name, so that appending rows and dropping some copies no other rows.

    The tensors themselves stay ordinary ones, as long as their rows: views of the front of the room. One that was
    exchanged for another tensor since is copied to the room once.
    """

    def __init__(self) -> None:
        self._room: dict[str, Shaped[Tensor, "C ..."]] = {}

    def append(self, name: str, rows: Shaped[Tensor, "N ..."], added: Shaped[Tensor, "M ..."]) -> Shaped[Tensor, "..."]:
        """`rows` with `added` at the end. Earlier views of the rows stay as they are."""
        end = len(rows) + len(added)
        room = self._of(name, rows)
        if room is None or len(room) < end:
            room = self._room[name] = rows.new_empty((int(GROWTH * end), *rows.shape[1:]))
            room[: len(rows)] = rows
        room[len(rows) : end] = added
        return room[:end]

    def keep(self, name: str, rows: Shaped[Tensor, "N ..."], kept: Kept) -> Shaped[Tensor, "..."]:
        """The rows that stay. Earlier views of the rows change."""
        room = self._of(name, rows)
        if room is None:
            return rows[kept.rows]
        room[kept.first : len(kept.rows)] = rows[kept.rows[kept.first :]]
        return room[: len(kept.rows)]

    def _of(self, name: str, rows: Shaped[Tensor, "N ..."]) -> Shaped[Tensor, "C ..."] | None:
        """The room that these rows are the front of."""
        room = self._room.get(name)
        return room if room is not None and len(rows) and room.data_ptr() == rows.data_ptr() else None
