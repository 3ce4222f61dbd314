"""A file of named numpy columns (`.npz`): written whole or not at all, read without trusting it.

Columns are stored, never compressed: reading a file then takes no more memory than the file is large, whatever its
headers claim.
"""

import math
import struct
import tokenize
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from instascene_ros.core.atomic_file import replacing
from instascene_ros.core.columns import Columns

# What numpy and zipfile raise on files that are cut short, corrupt or hostile.
UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError,
    OverflowError, SyntaxError, struct.error, tokenize.TokenError,
)  # fmt: skip


def write_columns(path: Path, columns: Columns) -> int:
    """Write the file whole or not at all; returns the bytes on disk.

    Raises:
        OSError: the folder cannot be written or the disk is full; an older file at `path` is then untouched.
    """
    with replacing(path) as temporary:
        np.savez(temporary, **columns)
    return path.stat().st_size


def read_columns(path: Path) -> Columns:
    """Read every column, after a check that all of them together are no larger than the file.

    Raises:
        UNREADABLE: the file is missing, cut short, corrupt, compressed, or claims more than it holds.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        claimed, held = sum(member.file_size for member in members), path.stat().st_size
        if claimed > held:
            raise ValueError(f"its columns claim {claimed} bytes but the file has {held}")
        return {member.filename.removesuffix(".npy"): _read_column(archive, member) for member in members}


def _read_column(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Shaped[np.ndarray, "..."]:
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed; columns are stored")
    with archive.open(member) as file:
        shape, dtype = _header(file)
        size = file.tell() + math.prod(shape) * dtype.itemsize
    if size != member.file_size:
        raise ValueError(f"{member.filename} claims {dtype}{list(shape)}, {size} bytes, but has {member.file_size}")
    with archive.open(member) as file:
        column = np.lib.format.read_array(file, allow_pickle=False)
        file.read()  # reaching the end makes zipfile compare the checksum
    return column


def _header(file: zipfile.ZipExtFile) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that a column claims; reads at most some kilobytes."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("it is of another version of the npy format than 1.0")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never read (allow_pickle)")
    if any(length < 0 for length in shape):
        raise ValueError(f"a column of shape {list(shape)}")
    return shape, dtype
