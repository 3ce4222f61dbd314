"""Node processes that several test files need."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from completion_calls import Completions


@pytest.fixture(scope="module")  # a node that outlives its module would answer the next module's requests
def completions(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Completions]":
    """The completion node with a stand-in for the scene node."""
    from completion_calls import completion_stack

    with completion_stack(str(tmp_path_factory.mktemp("meshes"))) as stack:
        yield stack
