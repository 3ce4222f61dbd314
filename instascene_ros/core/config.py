"""Every knob of the package: one field, its unit, its default and its meaning.

`config/instascene.yaml` mirrors these groups; a test compares the keys and the defaults.
"""

from dataclasses import dataclass, field
from typing import Any


def knob(default: Any, description: str, low: int | float | None = None, high: int | float | None = None) -> Any:
    """A dataclass field that carries what `ros2 param describe` and the README say about it."""
    return field(default=default, metadata={"description": description, "low": low, "high": high})


@dataclass(frozen=True)
class MappingConfig:
    """From frames to Gaussians."""

    width_px: int = knob(0, "Width that images are mapped at, px; 0: 320 on a CPU, 640 on a GPU.", 0, 4096)
    max_depth_m: float = knob(3.0, "Depth beyond this is not mapped, m.", 0.1, 100.0)
    min_depth_m: float = knob(0.15, "Depth nearer than this is not mapped, m.", 0.01, 10.0)
    depth_noise_m: float = knob(0.0015, "Depth noise (one sigma) close to the camera, m.", 0.0, 0.1)
    depth_noise_quadratic: float = knob(0.002, "Growth of depth noise with distance, m per m^2.", 0.0, 0.1)
    keyframe_translation_m: float = knob(0.02, "A frame this far from the last keyframe becomes one, m.", 0.0, 10.0)
    keyframe_rotation_deg: float = knob(
        2.0, "A frame turned this much since the last keyframe becomes one, deg.", 0.0, 180.0
    )
    keyframe_max_gap: int = knob(5, "At the latest every this many frames is a keyframe.", 1, 1000)
    max_keyframes: int = knob(150, "Keyframes remembered, spread evenly over the past.", 2, 10_000)
    seed_stride_px: int = knob(2, "One Gaussian is seeded per square of this many pixels.", 1, 16)
    fine_stride_px: int = knob(1, "The same inside small masks: objects rather than table and room.", 1, 16)
    fine_mask_share: float = knob(0.06, "Masks below this share of the image are small.", 0.0, 1.0)
    seed_opacity: float = knob(0.95, "Opacity of a new Gaussian.", 0.05, 0.99)
    split_sigma_px: float = knob(
        1.5, "Surfels wider than this (one sigma in the image) are split where the image has texture, px.", 0.1, 1e6
    )
    explained_alpha: float = knob(0.7, "Pixels the map covers less than this get new Gaussians.", 0.05, 1.0)
    explained_sigmas: float = knob(
        4.0, "Depth off the map by more than this many sigmas (and 5 mm) is news.", 1.0, 100.0
    )
    max_confidence: float = knob(
        30.0, "Looks a Gaussian averages over at most; one head-on from 1 m counts 1.", 1.0, 1e6
    )
    refine_steps: int = knob(
        -1, "Gradient steps after each keyframe, two at least before a frame that waits; -1 = 2 on a CPU, 8 on a GPU.",
        -1, 1000,
    )  # fmt: skip
    max_gaussians: int = knob(1_000_000, "The map stops growing at this many Gaussians.", 1000, 50_000_000)
    crop_radius_m: float = knob(
        0.0, "Gaussians farther than this from where the camera was lately are dropped, m; 0 = never.", 0.0, 1e6
    )


@dataclass(frozen=True)
class TrackingConfig:
    """From masks to instances with stable ids."""

    min_trace_weight: float = knob(0.1, "A Gaussian belongs to a pixel when its alpha*T exceeds this.", 0.01, 1.0)
    border_px: int = knob(1, "Pixels this close to a mask border hardly vote, px at 320 px image width.", 0, 50)
    min_visible_px: float = knob(
        20.0, "A segment is observed when it covers this much of a view, px at 320 px width.", 1.0, 1e6
    )
    min_containment: float = knob(
        0.8, "A mask holds a segment when it covers this share of its visible part.", 0.5, 1.0
    )
    min_part_share: float = knob(
        0.15, "A mask cuts a segment when it covers this share of its visible part.", 0.01, 0.5
    )
    min_target_share: float = knob(
        0.3, "A mask extends a segment that fills this share of the mask's mapped part.", 0.01, 1.0
    )
    spread_radius_m: float = knob(
        0.015, "Surface without a vote takes on, faintly, the label of what is this near, m.", 0.001, 1.0
    )
    min_consensus: float = knob(0.6, "Segments are one object when this share of their observers agree.", 0.1, 1.0)
    consensus_prior_views: float = knob(
        2.0, "Views that it takes to change the standing verdict on two segments.", 0.0, 100.0
    )
    consensus_memory: float = knob(60.0, "Views that a verdict remembers; older evidence fades.", 1.0, 1e6)
    max_segments: int = knob(8, "Parts that an instance is kept in; the surest ones of more become one.", 2, 1000)
    max_view_weight: float = knob(
        3.0, "Masks count as the views since the last ones, at most as so many: neighbouring views share their errors.",
        1.0, 1e6,
    )  # fmt: skip
    confirm_views: int = knob(3, "Keyframes that must see an instance as a whole before it is confirmed.", 1, 1000)
    min_whole_share: float = knob(0.3, "Share of its views that must see a confirmed instance as a whole.", 0.0, 1.0)
    missing_share: float = knob(
        0.5, "An instance is missing when views looked through this share of it since it was last seen.", 0.0, 1.0
    )
    min_gaussians: int = knob(30, "Instances with fewer Gaussians are not published.", 1, 1_000_000)
    link_radius_m: float = knob(
        0.02, "Points of an object farther than this from its main part are noise, m.", 0.001, 1.0
    )
    max_flat_size_m: float = knob(
        0.6, "What is flat and longer than this is a support surface: table, floor, wall, m.", 0.01, 100.0
    )
    max_object_size_m: float = knob(
        1.5, "What is longer than this is furniture or room, whatever its shape, m.", 0.01, 100.0
    )
    min_flat_share: float = knob(
        0.7, "What has this share of its points on one plane is flat, for a support surface.", 0.1, 1.0
    )
    flat_thickness_m: float = knob(0.02, "Points this close to a plane lie on it, m.", 0.001, 1.0)
    map_feedback: bool = knob(
        False, "Before they vote, masks that contradict what the map is sure of are split, or put together."
    )


@dataclass(frozen=True)
class RefinementConfig:
    """The offline route on a finished map: InstaScene's association and its feature field, with the paper's values."""

    min_mask_share: float = knob(
        0.5, "A mask holds a Gaussian of whose weight in the view it has more than this; the paper: 0.", 0.0, 1.0
    )
    min_mask_gaussians: int = knob(50, "Masks that show fewer Gaussians are left out.", 1, 1_000_000)
    max_unlabelled_share: float = knob(0.7, "A view of which a mask shows less than the rest is ignored.", 0.0, 1.0)
    min_visible_gaussians: int = knob(
        0, "A view of which a mask shows at least this many is not ignored; 0: only by share.", 0, 1_000_000
    )
    min_containment: float = knob(0.8, "A mask holds another when it covers more than this share of it.", 0.5, 1.0)
    max_split_share: float = knob(0.3, "A mask that more of its views split covers several objects.", 0.0, 1.0)
    min_consensus: float = knob(0.9, "Masks are one object when this share of their shared observers agree.", 0.1, 1.0)
    part_radius_m: float = knob(0.1, "Parts of an object are at most this far apart, m.", 0.001, 10.0)
    min_part_neighbours: int = knob(4, "Gaussians within that radius that make a part.", 1, 1000)
    min_detected_share: float = knob(
        0.5, "A Gaussian belongs to an object when more than this share of the views that see it say so.", 0.0, 1.0
    )
    max_shared_share: float = knob(0.8, "An object that shares more than this with another is dropped.", 0.0, 1.0)
    min_remedy_share: float = knob(
        0.8, "A suspect mask is trusted again when one object has more than this share of it.", 0.0, 1.0
    )
    steps: int = knob(0, "Steps of the feature field; 0: 10,000 on a GPU, 1,000 on a CPU.", 0, 1_000_000)
    samples: int = knob(32 * 1024, "Pixels of one view in a step; an eighth of it on a CPU.", 1, 10_000_000)
    many_samples: int = knob(
        64 * 1024, "Pixels of several views, and Gaussians, in a step; an eighth of it on a CPU.", 1, 10_000_000
    )
    multi_view_every: int = knob(5, "Every this many steps look at several views at once.", 1, 1000)
    neighbour_views: int = knob(2, "Views before and after that such a step looks at.", 0, 100)
    learning_rate: float = knob(2.5e-2, "Step size (Adam) of the features.", 1e-6, 1.0)
    single_view_weight: float = knob(1.0, "Weight of the loss within a view, 1e-6.", 0.0, 1e6)
    multi_view_weight: float = knob(1.0, "Weight of the loss over several views, 1e-6.", 0.0, 1e6)
    spatial_weight: float = knob(2.5, "Weight of the loss between Gaussians, 1e-6.", 0.0, 1e6)
    min_similarity: float = knob(0.9, "Gaussians this similar to an object's mean feature belong to it.", -1.0, 1.0)


@dataclass(frozen=True)
class SegmentationConfig:
    """The RGB-D geometric segmenter, which needs no weights."""

    noise_base_m: float = knob(0.0012, "Standard deviation of depth at 0.4 m, m.", 0.0, 0.1)
    noise_growth_per_m: float = knob(0.0019, "Its growth with the square of the distance beyond 0.4 m, 1/m.", 0.0, 0.1)
    normal_radius_px: int = knob(4, "Half window of the normals on an image 320 px wide, px.", 2, 20)
    max_planes: int = knob(8, "At most this many planes are looked for in a frame.", 0, 32)
    min_support_px_share: float = knob(0.02, "Share of the image below which a plane is not looked for.", 0.001, 1.0)
    min_table_area_m2: float = knob(0.06, "A level plane of this visible area carries objects, m2.", 0.0, 100.0)
    min_wall_area_m2: float = knob(0.25, "Any other plane of this visible area is a wall or the like, m2.", 0.0, 100.0)
    support_sigmas: float = knob(
        1.6, "Pixels this close to such a plane belong to it, depth standard deviations.", 0.0, 20.0
    )
    patch_px: int = knob(7, "Spacing of the patches that masks are put together from, at 320 px width, px.", 3, 40)
    cut_log_odds: float = knob(
        -0.5, "Patches join while the log odds of a cut stay below this; lower cuts more.", -5.0, 5.0
    )
    min_mask_px: int = knob(40, "Smaller masks join a neighbour or are dropped, at 320 px width, px.", 1, 10_000)
    fill_px: int = knob(3, "Masks grow this far into missing depth, at 320 px width, px.", 0, 50)


@dataclass(frozen=True)
class NetworkConfig:
    """The segmenters that are networks: detectron2, mask2former, sam2."""

    model: str = knob(
        "", "Weights: a folder, a model of the hub, or for detectron2 a file; empty = the segmenter's usual hub model."
    )
    config_file: str = knob("", "detectron2: the model's configuration, a path or a name of detectron2's model zoo.")
    project: str = knob(
        "", "detectron2: package of a project that the model needs, with the folder it is in: FOLDER:PACKAGE."
    )
    device: str = knob("auto", "auto, cpu or cuda.")
    precision: str = knob("auto", "auto, float32, float16 or bfloat16; auto = float16 on a GPU, float32 elsewhere.")
    min_score: float = knob(0.5, "Masks that the network is less sure of are left out.", 0.0, 1.0)
    min_area_px: int = knob(400, "Smaller masks are left out, at 640 px image width, px.", 0, 1_000_000)
    max_overlap: float = knob(0.7, "Of two masks that overlap by more than this (IoU) the surer stays.", 0.0, 1.0)
    points_per_side: int = knob(16, "sam2: the image is asked at a grid of this many points squared.", 1, 64)
    points_per_batch: int = knob(64, "sam2: points asked at once; fewer take less memory.", 1, 4096)
    min_stability: float = knob(
        0.9, "sam2: masks whose outline moves more when the threshold does are left out (IoU).", 0.0, 1.0
    )


@dataclass(frozen=True)
class CompletionConfig:
    """From one observed object to a whole one."""

    max_faces: int = knob(5000, "Faces of a completed mesh at most.", 100, 1_000_000)
    max_views: int = knob(24, "Looks at the object that completion works from.", 2, 100)
    min_points: int = knob(10, "An object with fewer points is not completed.", 4, 100_000)
    min_views: int = knob(2, "An object seen in fewer views is not completed.", 1, 100)
    ring_width_px: int = knob(160, "Width of the views that a prior generates, px.", 32, 1024)
    ring_views: int = knob(16, "Views around the object that a prior is asked for; some more close it.", 4, 200)
    ring_elevation_deg: float = knob(30.0, "Elevation of those views, deg.", 0.0, 80.0)
    view_choice: str = knob("ring", "Those views: a ring with closing views, or as many chosen by gain.")
    min_known_share: float = knob(
        0.85, "A view of which nothing hides this share of the object's pixels shows it as it is.", 0.0, 1.0
    )
    model: str = knob(
        "", "Learned prior (diffusion): a folder in diffusers' format, or a hub id; empty = the package's own."
    )
    model_dtype: str = knob("auto", "Its numbers: float32, float16, bfloat16; auto: float16 on a GPU, else float32.")
    denoising_steps: int = knob(0, "Steps of a learned prior; 0: as many as its model was made for.", 0, 10_000)
    optimisation_steps: int = knob(
        0, "Steps that reconcile generated with observed views; 0: 200, of which more were no better.", 0, 1_000_000
    )
    observed_weight: float = knob(4.0, "Weight of an observed pixel against a generated one in those steps.", 0.0, 1e6)
    device: str = knob("auto", "Where learned priors and those steps run: auto, cpu or cuda.")
    max_voxels: int = knob(200_000, "Voxels that an object's volume is divided into at most.", 1000, 100_000_000)
    min_voxel_m: float = knob(0.002, "Voxels are never smaller than this, m.", 0.0002, 0.1)
    depth_noise_m: float = knob(0.0015, "Standard deviation of the depth images near the objects, m.", 0.0, 0.05)
    observed_tolerance_m: float = knob(
        0.006, "A vertex this near to the observed depth counts as observed, m.", 0.0, 0.1
    )
    smoothing_iterations: int = knob(3, "Taubin smoothing steps of a completed mesh.", 0, 100)


@dataclass(frozen=True)
class RemovalConfig:
    """What fills the hole that a removed object leaves."""

    model: str = knob("", "Inpainting pipeline in diffusers' format: a folder, or a model of the hub; empty = OpenCV.")
    prompt: str = knob("an empty table, background only", "What such a pipeline is asked for.")
    steps: int = knob(20, "Denoising steps of such a pipeline.", 1, 1000)
    size_px: int = knob(512, "Longer side of the image that it works on, px.", 64, 2048)
    device: str = knob("auto", "Where it runs: auto, cpu or cuda.")


@dataclass(frozen=True)
class Config:
    """All groups."""

    mapping: MappingConfig = field(default_factory=MappingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    networks: NetworkConfig = field(default_factory=NetworkConfig)
    completion: CompletionConfig = field(default_factory=CompletionConfig)
    removal: RemovalConfig = field(default_factory=RemovalConfig)
