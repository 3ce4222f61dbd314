"""What `instascene run` and `instascene bench` can be asked, written once: fields are command-line options."""

import inspect
import shlex
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

ALL, NONE = "all", "none"


@dataclass(frozen=True)
class FrameRange:
    """Frames first to last - 1; None = the end."""

    first: int = 0
    last: int | None = None

    def __str__(self) -> str:
        return f"{self.first}:{'' if self.last is None else self.last}"


def parse_frames(text: str | FrameRange) -> FrameRange:
    """`A:B`; either side may be left out."""
    if isinstance(text, FrameRange):
        return text
    try:
        first, last = (int(part) if part.strip() else None for part in text.split(":"))
    except ValueError:
        raise typer.BadParameter(f"got {text!r}; expected A:B, for example 0:30, 30: or :60") from None
    if (first or 0) < 0 or (last is not None and last <= (first or 0)):
        raise typer.BadParameter(f"got {text!r}; expected 0 <= A < B: frame A is the first, frame B is not included")
    return FrameRange(first or 0, last)


def parse_selection(text: str) -> str:
    """`all`, `none` or ids with commas, checked and in canonical form."""
    return text if text in (ALL, NONE) else parse_ids(text, "all, none, or ids such as 3,7")


def parse_ids(text: str, expected: str = "ids such as 3,7") -> str:
    """Ids with commas, checked and in canonical form; nothing for none."""
    try:
        ids = sorted({int(part) for part in text.split(",") if text})
    except ValueError:
        raise typer.BadParameter(f"got {text!r}; expected {expected}") from None
    if ids and ids[0] <= 0:
        raise typer.BadParameter(f"got {text!r}; instance ids are above 0")
    return ",".join(str(i) for i in ids)


def parse_device(text: str) -> str:
    if text not in ("auto", "cpu", "cuda"):
        raise typer.BadParameter(f"got {text!r}; expected auto, cpu or cuda")
    return text


Scene = Annotated[
    Path, typer.Argument(help="A recorded scene: a folder of ours (scene.json) or of TUM RGB-D (rgb.txt), or a bag.")
]
Out = Annotated[Path, typer.Option(help="Folder to write to; results of an earlier run in it are replaced.")]
Device = Annotated[str, typer.Option(parser=parse_device, metavar="auto|cpu|cuda", help="Where to render.")]
Frames = Annotated[
    FrameRange, typer.Option(parser=parse_frames, metavar="A:B", show_default=False, help="Only frames A to B-1.")
]
Topics = Annotated[
    str, typer.Option(help="Topics of a rosbag2, where names leave a choice: color=/a,depth=/b,pose=/c and so on.")
]
Model = Annotated[
    str, typer.Option(help="Weights of a segmenter that is a network: a folder, a hub model, or detectron2's file.")
]
ModelConfig = Annotated[str, typer.Option(help="With detectron2: configuration, a path or a name of its model zoo.")]
ModelProject = Annotated[str, typer.Option(metavar="FOLDER:PACKAGE", help="With detectron2: a project it needs.")]


@dataclass(frozen=True)
class RunOptions:
    """One offline run."""

    scene: Scene
    out: Out
    device: Device = "auto"
    masks: Annotated[
        str | None, typer.Option(help="Recorded masks to use, by folder name; default: 'masks' if the scene has them.")
    ] = None
    topics: Topics = ""
    segmenter: Annotated[
        str | None, typer.Option(help="Segment the frames instead: geometric, detectron2, mask2former or sam2.")
    ] = None
    model: Model = ""
    model_config: ModelConfig = ""
    model_project: ModelProject = ""
    frames: Frames = FrameRange()
    every: Annotated[int, typer.Option(min=1, help="Use every N-th of the chosen frames.")] = 1
    width: Annotated[int, typer.Option(min=0, max=4096, help="Width to map at, px; 0: 320 on a CPU, 640 on a GPU.")] = 0
    refine: Annotated[
        bool, typer.Option("--refine", help="Refine the instances with all masks at once when the map is finished.")
    ] = False
    remove: Annotated[
        str, typer.Option(parser=parse_ids, metavar="ID,ID", help="Take these instances out of the finished map.")
    ] = ""
    inpainting_model: Annotated[
        str, typer.Option(help="Inpainting pipeline in diffusers' format for what is behind them; default: OpenCV.")
    ] = ""
    complete: Annotated[
        str,
        typer.Option(
            parser=parse_selection, metavar="all|none|ID,ID", help="Objects to complete; all = every confirmed one."
        ),
    ] = NONE
    method: Annotated[
        str, typer.Option(help="Completion prior: geometric, diffusion, or auto = diffusion where it can run.")
    ] = "auto"
    completion_model: Annotated[
        str, typer.Option(help="Another model of the diffusion prior: a folder in diffusers' format, or a hub id.")
    ] = ""
    seed: Annotated[int, typer.Option(min=0, help="Seed of the completion: same seed, same result.")] = 0
    views: Annotated[bool, typer.Option("--views", help="Also render the scene's test views.")] = False

    def command(self) -> str:
        """The command line that asks for this."""
        words = ["instascene", "run", str(self.scene)]
        for f in fields(self):
            value = getattr(self, f.name)
            if value is True:
                words.append(f"--{f.name.replace('_', '-')}")
            elif f.name != "scene" and value != f.default:
                words += [f"--{f.name.replace('_', '-')}", str(value)]
        return shlex.join(words)


def parse_click(text: str | tuple[float, float]) -> tuple[float, float]:
    """`COLUMN,ROW`."""
    if isinstance(text, tuple):
        return text
    try:
        column, row = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"got {text!r}; expected COLUMN,ROW in px, for example 320,200") from None
    return column, row


@dataclass(frozen=True)
class SegmentOptions:
    """One frame, segmented."""

    scene: Scene
    out: Annotated[Path, typer.Option(help="PNG of 16 bit labels to write; a picture of it comes beside it.")]
    segmenter: Annotated[str, typer.Option(help="geometric, detectron2, mask2former or sam2.")] = "geometric"
    frame: Annotated[int, typer.Option(min=0, help="Which frame.")] = 0
    click: Annotated[
        list[tuple] | None,
        typer.Option(parser=parse_click, metavar="COLUMN,ROW", help="Only what is there (sam2); repeatable."),
    ] = None
    width: Annotated[int, typer.Option(min=0, max=4096, help="Width to segment at, px; 0 = as it is.")] = 0
    device: Device = "auto"
    topics: Topics = ""
    model: Model = ""
    model_config: ModelConfig = ""
    model_project: ModelProject = ""


@dataclass(frozen=True)
class BenchOptions:
    """What `instascene bench` measures."""

    scene: Annotated[Path | None, typer.Argument(help="Also time every stage on this recorded scene.")] = None
    masks: Annotated[str | None, typer.Option(help="Its recorded masks; '' = the geometric segmenter.")] = None
    device: Device = "auto"
    width: Annotated[int, typer.Option(min=0, help="Mapping width, px; 0 = the default of the device.")] = 0
    loop: Annotated[int, typer.Option(min=0, help="Play the scene there and back so often: does anything grow?")] = 0
    every: Annotated[int, typer.Option(min=1, help="Use every Nth frame of the scene.")] = 1
    rendering: Annotated[bool, typer.Option(help="Time the renderer.")] = True
    ids: Annotated[bool, typer.Option(help="Follow the ids of a scene that has ground truth.")] = False
    repeats: Annotated[int, typer.Option(min=1, help="Timed renderings of each kind.")] = 20
    instances: Annotated[
        list[Path] | None, typer.Option(help="Score instances, ours and others', on this generated scene; repeatable.")
    ] = None
    seeds: Annotated[int, typer.Option(min=0, help="Draws of noisy masks for that; 0 = the recorded --masks.")] = 5
    masks_every: Annotated[int, typer.Option(min=1, help="Only every Nth frame has masks, for that.")] = 1
    steps: Annotated[int, typer.Option(min=0, help="Steps of the feature field, for that; 0 = the default.")] = 0
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time, for that.")] = 1
    completion: Annotated[
        list[Path] | None, typer.Option(help="Score completions on this generated scene; repeatable.")
    ] = None
    completion_masks: Annotated[str, typer.Option(help="Recorded masks for that, by folder.")] = "masks_clean,masks"
    completion_frames: Annotated[str, typer.Option(help="Ranges of frames for that, A:B or all.")] = "all,0:30,0:10"
    method: Annotated[str, typer.Option(help="Only this method, for that.")] = ""
    hypotheses: Annotated[int, typer.Option(min=1, help="Seeds to complete each object with, for that.")] = 1
    cache: Annotated[Path | None, typer.Option(help="Keep and take mapped objects here, for that.")] = None
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file, too.")] = None


def takes(options: type) -> Callable[[Callable[[Any], None]], Callable[..., None]]:
    """Let a command of one dataclass argument take the dataclass's fields as its command-line options."""
    hints = get_type_hints(options, include_extras=True)

    def decorate(command: Callable[[Any], None]) -> Callable[..., None]:
        def called(**given: Any) -> None:
            command(options(**given))

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__annotations__ = {f.name: hints[f.name] for f in fields(options)}
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    f.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=hints[f.name],
                    default=inspect.Parameter.empty if f.default is MISSING else f.default,
                )  # fmt: skip
                for f in fields(options)
            ]
        )
        return called

    return decorate
