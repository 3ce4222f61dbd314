"""The README's figure, from a finished run: `python -m instascene_ros.tools.figure RUN SCENE docs/figure.png`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
import typer
from jaxtyping import Float32, Int32, UInt8
from PIL import Image, ImageDraw, ImageFont

from instascene_ros.core.instances import color_of_id
from instascene_ros.core.recording import SceneFolder
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.run_files import COMPLETED
from instascene_ros.tools.mesh_picture import PaintedMesh
from instascene_ros.tools.pictures import object_pictures, scene_pictures
from instascene_ros.tools.report import RunFiles, telling_frame

TILE = (320, 240)  # width, height of a picture, px
GAP, MARGIN, HEAD, FOOT = 44, 28, 76, 62  # between tiles, around, above and below them, px
INK, SOFT, PAGE, TILE_GROUND = (28, 29, 32), (108, 111, 118), (255, 255, 255), (236, 236, 231)
STAGES = (("every keyframe", 0, 3), ("on request, one object (magenta: invented)", 4, 5))  # title, first and last tile


def figure(run: RunFiles, scene: SceneFolder, object_id: int) -> Image.Image:
    """The route from a frame to a completed object, in six pictures of one moment and one object."""
    rasterizer = make_rasterizer("cpu")
    frame, _ = telling_frame(run, scene)
    pictures = scene_pictures(run.saved, frame, rasterizer)
    row = next(row for row in run.objects if row["id"] == object_id)
    mesh = PaintedMesh.read(run.folder / COMPLETED / row["file"])
    up = np.array(row["T_world_object"], np.float64)[:3, 2]
    before, after = object_pictures(run.saved, object_id, mesh, up, rasterizer)
    tiles = [
        ("posed colour, depth", diagonal(frame.rgb, painted_depth(frame.depth_m))),
        ("entity masks", painted_labels(frame.masks.labels if frame.masks else np.zeros(frame.rgb.shape[:2]))),
        ("surfel map", diagonal(pictures.render, pictures.normals)),
        ("instances, stable ids", pictures.instances),
        ("seen (from behind)", middle_tile(before)),
        ("completed", middle_tile(after)),
    ]
    return laid_out(tiles)


def laid_out(tiles: Sequence[tuple[str, UInt8[np.ndarray, "H W 3"]]]) -> Image.Image:
    """The tiles in one row with arrows between them, captions below and the stages above."""
    width = 2 * MARGIN + len(tiles) * TILE[0] + (len(tiles) - 1) * GAP
    page = Image.new("RGB", (width, HEAD + TILE[1] + FOOT + MARGIN // 2), PAGE)
    draw, font, small = ImageDraw.Draw(page), ImageFont.load_default(32), ImageFont.load_default(30)
    for k, (caption, picture) in enumerate(tiles):
        x, y = MARGIN + k * (TILE[0] + GAP), HEAD
        page.paste(Image.fromarray(picture).resize(TILE, Image.Resampling.LANCZOS), (x, y))
        draw.text((x + TILE[0] / 2, y + TILE[1] + 12), caption, INK, small, "ma")
        if k:
            middle = (x - GAP / 2, y + TILE[1] / 2)
            draw.line([(middle[0] - 12, middle[1]), (middle[0] + 6, middle[1])], SOFT, 3)
            tip = [(middle[0] + 14, middle[1]), (middle[0] + 3, middle[1] - 7), (middle[0] + 3, middle[1] + 7)]
            draw.polygon(tip, SOFT)
    for title, first, last in STAGES:
        left, right = MARGIN + first * (TILE[0] + GAP), MARGIN + last * (TILE[0] + GAP) + TILE[0]
        draw.text((left, 14), title, INK, font)
        draw.line([(left, HEAD - 12), (right, HEAD - 12)], SOFT, 2)
    return page


def diagonal(one: UInt8[np.ndarray, "H W 3"], other: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """One picture above the rising diagonal, the other below it."""
    height, width = one.shape[:2]
    v, u = np.mgrid[:height, :width]
    edge = u / width + v / height - 1
    mixed = np.where((edge < 0)[..., None], one, other)
    mixed[np.abs(edge) < 1.5 / width] = 255
    return mixed


def painted_depth(depth_m: Float32[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Near is bright; black where there is none."""
    near, far = np.percentile(depth_m[depth_m > 0], [1, 97])
    painted = matplotlib.colormaps["magma"](1 - np.clip((depth_m - near) / (far - near), 0, 1))[..., :3]
    return (255 * painted * (depth_m > 0)[..., None]).astype(np.uint8)


def painted_labels(labels: Int32[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Every label in a colour of its own, no label dark."""
    palette = np.array([(40, 42, 48), *(color_of_id(5 * k + 2) for k in range(1, int(labels.max(initial=0)) + 1))])
    return palette[labels].astype(np.uint8)


def middle_tile(strip: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 3"]:
    """The view from behind of a strip of three, on a plain ground and in the shape of the other tiles."""
    side = strip.shape[0]
    cut = Image.fromarray(np.ascontiguousarray(strip[:, side : 2 * side]))
    ground = Image.new("RGBA", (side * TILE[0] // TILE[1], side), (*TILE_GROUND, 255))
    ground.alpha_composite(cut, ((ground.width - side) // 2, 0))
    return np.asarray(ground.convert("RGB"))


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run with completed objects.")],
    scene: Annotated[Path, typer.Argument(help="The scene it was made from.")],
    out: Annotated[Path, typer.Argument(help="Picture to write.")],
    object_id: Annotated[int, typer.Option(help="Object to show.")],
    masks: Annotated[str, typer.Option(help="Recorded masks to show.")] = "masks",
) -> None:
    """Make the figure of the README."""
    figure(RunFiles.read(run), SceneFolder.open(scene, masks), object_id).save(out, optimize=True)


if __name__ == "__main__":
    typer.run(main)
