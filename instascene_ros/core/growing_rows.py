"""Tensors of rows that grow in place."""

from jaxtyping import Bool, Shaped
from torch import Tensor

GROWTH = 1.25  # new room for this many times the rows: appending costs what is appended, on average four rows each


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

    def keep(self, name: str, rows: Shaped[Tensor, "N ..."], kept: Bool[Tensor, " N"]) -> Shaped[Tensor, "..."]:
        """The rows that are marked, in order. Earlier views of the rows change."""
        room = self._of(name, rows)
        if room is None:
            return rows[kept]
        first = int(kept.int().argmin()) if len(kept) else 0  # the first that goes; none before it moves
        tail = rows[first:][kept[first:]]
        room[first : first + len(tail)] = tail
        return room[: first + len(tail)]

    def _of(self, name: str, rows: Shaped[Tensor, "N ..."]) -> Shaped[Tensor, "C ..."] | None:
        """The room that these rows are the front of."""
        room = self._room.get(name)
        return room if room is not None and len(rows) and room.data_ptr() == rows.data_ptr() else None
