"""The prior that comes with the package: its weights give the figures of its model card, and it is what auto takes."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from instascene_ros import models
from instascene_ros.core.completion import complete_object
from instascene_ros.core.config import Config
from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.models import SHIPPED, chosen_prior, make_prior
from instascene_ros.models.ring_volume import RingVolume
from instascene_ros.tools.prior_training.bank import ShapeBank
from instascene_ros.tools.prior_training.families import FAMILIES
from instascene_ros.tools.prior_training.measuring import completed, figures_of
from instascene_ros.tools.prior_training.samples import drawn
from tests.core.test_guided_prior import CONFIG, SHAPES, observation, true_mesh

SILHOUETTES, DEPTH_RADII = 0.907, 0.030  # on the samples below, in the model card


def test_auto_takes_it_where_it_can_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert chosen_prior("auto", Config()) == "diffusion"
    assert make_prior("auto", Config()).name == "ring"
    monkeypatch.setattr(models, "SHIPPED", tmp_path)
    assert make_prior("auto", Config()).name == "geometric"
    with pytest.raises(BackendUnavailableError, match="needs diffusers .* set completion.model"):
        make_prior("diffusion", Config())


def test_it_is_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < 40e6


def test_its_figures_are_those_that_were_written_down() -> None:
    samples = drawn(ShapeBank(FAMILIES, 1, seed=77), 8)
    network = RingVolume.from_pretrained(SHIPPED / "denoiser").eval()
    told = figures_of(completed(network, samples, seed=0, steps=1), samples)
    assert told["alpha_iou"] == pytest.approx(SILHOUETTES, abs=0.02)
    assert told["depth_error"] == pytest.approx(DEPTH_RADII, abs=0.005)
    card = (SHIPPED / "README.md").read_text()
    assert f"{SILHOUETTES:.2f}" in card and f"{DEPTH_RADII:.3f}" in card


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_it_completes_a_box_and_a_can_in_place(name: str) -> None:
    made = complete_object(observation(name), make_prior("auto", Config(completion=CONFIG)), CONFIG)
    assert (made.method, made.watertight) == ("ring", True)
    true = true_mesh(name)
    surface, truth = points_on(made.vertices_m, made.faces), points_on(true.vertices_m, true.faces)
    assert cKDTree(truth).query(surface)[0].mean() < 0.003
    assert cKDTree(surface).query(truth)[0].mean() < 0.003


def points_on(vertices_m: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Evenly on a mesh."""
    points, _ = trimesh.sample.sample_surface(trimesh.Trimesh(vertices_m, faces, process=False), 4000, seed=0)
    return np.asarray(points)
