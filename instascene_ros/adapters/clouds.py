"""PointCloud2 messages <-> named numpy columns."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Shaped, UInt8
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from instascene_ros.core.errors import InvalidFrameError

_FIELD_TYPES = {
    np.dtype(np.int8): PointField.INT8,
    np.dtype(np.uint8): PointField.UINT8,
    np.dtype(np.int16): PointField.INT16,
    np.dtype(np.uint16): PointField.UINT16,
    np.dtype(np.int32): PointField.INT32,
    np.dtype(np.uint32): PointField.UINT32,
    np.dtype(np.float32): PointField.FLOAT32,
    np.dtype(np.float64): PointField.FLOAT64,
}
# Of one surfel: m, wxyz, standard deviations in m, opacity and colour 0..1.
SURFEL_FIELDS = ("x", "y", "z", "qw", "qx", "qy", "qz", "sx", "sy", "opacity", "r", "g", "b")
_NUMPY_TYPES = {field_type: dtype for dtype, field_type in _FIELD_TYPES.items()}


def xyz_columns(points_m: Float32[np.ndarray, "P 3"]) -> dict[str, Float32[np.ndarray, " P"]]:
    """The columns x, y, z."""
    return {axis: points_m[:, i] for i, axis in enumerate("xyz")}


def pack_rgb(colors: UInt8[np.ndarray, "P 3"] | Float[np.ndarray, "P 3"]) -> Float32[np.ndarray, " P"]:
    """The `rgb` column that RViz and PCL expect: 0x00RRGGBB seen as a float. Floats are 0..1."""
    if colors.dtype != np.uint8:
        colors = np.round(np.clip(colors, 0, 1) * 255).astype(np.uint8)
    r, g, b = colors.astype(np.uint32).T
    return (r << 16 | g << 8 | b).astype(np.uint32).view(np.float32)


def unpack_rgb(column: Float32[np.ndarray, " P"]) -> UInt8[np.ndarray, "P 3"]:
    """Inverse of `pack_rgb`."""
    packed = np.ascontiguousarray(column).view(np.uint32)
    return np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8)


def cloud_of(header: Header, columns: dict[str, Shaped[np.ndarray, " P"]]) -> PointCloud2:
    """A cloud with one field for each column, in order."""
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"columns of a cloud differ in length: {sizes}")
    layout = np.dtype([(name, column.dtype) for name, column in columns.items()])
    rows = np.empty(next(iter(sizes.values()), 0), layout)
    for name, column in columns.items():
        rows[name] = column
    return PointCloud2(
        header=header, height=1, width=len(rows), is_dense=True, is_bigendian=False,
        fields=[
            PointField(name=name, offset=layout.fields[name][1], datatype=_FIELD_TYPES[layout[name]], count=1)
            for name in layout.names
        ],
        point_step=layout.itemsize, row_step=layout.itemsize * len(rows), data=rows.tobytes(),
    )  # fmt: skip


def joined(clouds: Sequence[PointCloud2]) -> PointCloud2:
    """One cloud of several with the same fields and header; at least one."""
    tables = [columns_of(cloud) for cloud in clouds]
    return cloud_of(clouds[0].header, {name: np.concatenate([t[name] for t in tables]) for name in tables[0]})


def columns_of(cloud: PointCloud2) -> dict[str, Shaped[np.ndarray, " P"]]:
    """Every field as a column of its own.

    Raises:
        InvalidFrameError: fewer bytes than the layout says, fields of more than one element, or a layout that is none.
    """
    count, wanted = cloud.width * cloud.height, [f.name for f in cloud.fields]
    if len(cloud.data) < count * cloud.point_step or any(f.count != 1 for f in cloud.fields):
        raise InvalidFrameError(
            f"cloud of {count} points x {cloud.point_step} bytes has {len(cloud.data)} bytes, fields {wanted}; "
            "expected all bytes and one element a field"
        )
    layout = _layout_of(cloud)
    if count == 0 or not wanted:
        return {name: np.zeros(0, layout[name].newbyteorder("=")) for name in wanted}
    rows = np.frombuffer(bytes(cloud.data), layout, count)
    return {name: rows[name].astype(rows[name].dtype.newbyteorder("=")) for name in wanted}


def _layout_of(cloud: PointCloud2) -> np.dtype:
    order = ">" if cloud.is_bigendian else "<"
    try:
        formats = [_NUMPY_TYPES[f.datatype].newbyteorder(order) for f in cloud.fields]
        names, offsets = [f.name for f in cloud.fields], [f.offset for f in cloud.fields]
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": cloud.point_step})
    except (KeyError, ValueError, TypeError, OverflowError) as error:  # numpy says what does not fit
        fields = [(f.name, f.datatype, f.offset) for f in cloud.fields]
        raise InvalidFrameError(
            f"cloud has fields (name, datatype, offset) {fields} in points of {cloud.point_step} bytes: {error!r}"
        ) from error
