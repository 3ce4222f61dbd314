"""Random household models: a shape, a texture and how it likes to stand."""

from collections.abc import Callable

import numpy as np

from instascene_ros.tools.scene_generator import shapes
from instascene_ros.tools.scene_generator.surfaces import Model
from instascene_ros.tools.scene_generator.textures import Bands, Carton, Colour, Label, Plain, Spots, Stripes, Wood

Rng = np.random.Generator

VIVID: list[Colour] = [
    (0.80, 0.16, 0.13), (0.10, 0.36, 0.68), (0.93, 0.72, 0.12), (0.13, 0.52, 0.33), (0.90, 0.45, 0.12),
    (0.45, 0.22, 0.52), (0.08, 0.55, 0.60), (0.75, 0.28, 0.42), (0.30, 0.42, 0.20), (0.20, 0.22, 0.45),
]  # fmt: skip
PALE: list[Colour] = [
    (0.93, 0.91, 0.86),
    (0.88, 0.90, 0.92),
    (0.95, 0.88, 0.70),
    (0.80, 0.88, 0.84),
    (0.92, 0.80, 0.76),
]
DARK: list[Colour] = [(0.10, 0.10, 0.11), (0.22, 0.15, 0.11), (0.09, 0.12, 0.22), (0.13, 0.20, 0.16)]
METAL: Colour = (0.62, 0.63, 0.65)


def _pick(colours: list[Colour], rng: Rng, count: int = 1) -> list[Colour]:
    return [colours[k] for k in rng.permutation(len(colours))[:count]]


def _seed(rng: Rng) -> int:
    return int(rng.integers(1 << 16))


def carton(rng: Rng) -> Model:
    size = (rng.uniform(0.09, 0.14), rng.uniform(0.035, 0.06), rng.uniform(0.12, 0.19))
    panel, ink = _pick(VIVID, rng, 2)
    texture = Carton(size, _pick(PALE, rng)[0], panel, ink, _seed(rng))
    return Model("carton", shapes.box(size, 0.002, "carton"), texture, 0.08, 0.6)


def small_box(rng: Rng) -> Model:
    size = (rng.uniform(0.06, 0.09), rng.uniform(0.04, 0.06), rng.uniform(0.025, 0.05))
    base, panel = _pick(VIVID, rng, 2)
    texture = Carton(size, base, panel, _pick(PALE, rng)[0], _seed(rng))
    return Model("small_box", shapes.box(size, 0.002, "small_box"), texture, 0.08, 0.7)


def book(rng: Rng) -> Model:
    size = (rng.uniform(0.11, 0.15), rng.uniform(0.15, 0.20), rng.uniform(0.018, 0.035))
    base, panel = _pick(VIVID + DARK, rng, 2)
    texture = Carton(size, base, panel, _pick(PALE, rng)[0], _seed(rng))
    return Model("book", shapes.box(size, 0.002, "book"), texture, 0.05, 1.0)


def block(rng: Rng) -> Model:
    size = tuple(rng.uniform(0.04, 0.08, 3))
    texture = Wood((0.80, 0.64, 0.42), (0.60, 0.42, 0.24), 1.0, _seed(rng))
    return Model("block", shapes.box(size, 0.004, "block"), texture, 0.03, 0.7)


def can(rng: Rng) -> Model:
    radius, height = rng.uniform(0.030, 0.040), rng.uniform(0.085, 0.125)
    paper, ink = _pick(VIVID, rng, 2)
    texture = Label(
        METAL, paper, _pick(PALE + [ink], rng)[0], 0.006, height - 0.008, int(rng.integers(2, 4)), _seed(rng)
    )
    return Model("can", shapes.can(radius, height), texture, 0.35, 0.75)


def bottle(rng: Rng) -> Model:
    radius, height = rng.uniform(0.028, 0.036), rng.uniform(0.17, 0.22)
    base, ink = _pick(VIVID, rng, 2)
    texture = Label(base, _pick(PALE, rng)[0], ink, 0.15 * height, 0.5 * height, 2, _seed(rng))
    return Model("bottle", shapes.bottle(radius, height, 0.4 * radius), texture, 0.4, 0.6)


def jar(rng: Rng) -> Model:
    r, z = rng.uniform(0.034, 0.045), rng.uniform(0.07, 0.10)
    lid = [(r, 0.0), (r, 0.74 * z), (0.86 * r, 0.80 * z), (0.95 * r, 0.81 * z), (0.95 * r, z)]
    base, paper, ink = _pick(VIVID, rng, 3)
    texture = Label(base, _pick(PALE, rng)[0], ink, 0.15 * z, 0.66 * z, 3, _seed(rng))
    return Model("jar", shapes.revolved(lid, 0.003, "jar"), texture, 0.35, 0.85)


def bowl(rng: Rng) -> Model:
    radius, height = rng.uniform(0.065, 0.085), rng.uniform(0.045, 0.065)
    colour, band = _pick(PALE, rng)[0], _pick(VIVID, rng)[0]
    texture = Bands(2, (0.70 * height, 0.84 * height), (colour, band, colour))
    return Model("bowl", shapes.bowl(radius, height), texture, 0.3, 0.95)


def mug(rng: Rng) -> Model:
    radius, height = rng.uniform(0.037, 0.043), rng.uniform(0.085, 0.10)
    colour, second = _pick(VIVID, rng)[0], _pick(PALE, rng)[0]
    look = int(rng.integers(3))
    texture = [
        Bands(2, (0.3 * height,), (second, colour)),
        Stripes(2, 0.022, colour, second, 0.7),
        Spots(second, colour, 0.014, 0.45, _seed(rng)),
    ][look]
    return Model("mug", shapes.mug(radius, height), texture, 0.3, 0.8)


def cup(rng: Rng) -> Model:
    radius, height = rng.uniform(0.036, 0.042), rng.uniform(0.09, 0.12)
    first, second = _pick(VIVID, rng, 2)
    outer = [(0.7 * radius, 0.0), (0.85 * radius, 0.5 * height), (radius, height)]
    return Model("cup", shapes.vessel(outer, 0.004, "cup"), Stripes(2, 0.03, first, second, 0.75), 0.2, 0.7)


def pan(rng: Rng) -> Model:
    radius = rng.uniform(0.06, 0.075)
    texture = Bands(0, (radius + 0.03,), ((0.20, 0.20, 0.21), _pick(VIVID, rng)[0]))
    return Model("pan", shapes.pan(radius, 0.035, rng.uniform(0.09, 0.12)), texture, 0.25, 1.0)


def hammer(rng: Rng) -> Model:
    length = rng.uniform(0.18, 0.23)
    texture = Bands(0, (0.016, 0.45 * length), ((0.33, 0.34, 0.36), (0.74, 0.56, 0.34), _pick(VIVID, rng)[0]))
    return Model("hammer", shapes.hammer(length, rng.uniform(0.075, 0.095)), texture, 0.2, 1.0)


def screwdriver(rng: Rng) -> Model:
    grip, shaft = rng.uniform(0.08, 0.10), rng.uniform(0.07, 0.10)
    r = rng.uniform(0.012, 0.015)
    profile = [(0.8 * r, 0.0), (r, 0.02), (0.85 * r, 0.6 * grip), (r, 0.8 * grip), (0.55 * r, grip)]
    profile += [(0.0035, grip + 0.002), (0.0035, grip + shaft)]
    first, second = _pick(VIVID, rng)[0], _pick(DARK, rng)[0]
    texture = Bands(2, (0.02, 0.78 * grip, grip), (second, first, second, METAL))
    return Model("screwdriver", shapes.revolved(profile, 0.003, "screwdriver"), texture, 0.25, 0.0)


def marker(rng: Rng) -> Model:
    r, z = rng.uniform(0.008, 0.011), rng.uniform(0.12, 0.14)
    profile = [(0.9 * r, 0.0), (r, 0.004), (r, 0.62 * z), (1.12 * r, 0.625 * z), (1.08 * r, 0.97 * z), (0.7 * r, z)]
    texture = Bands(2, (0.12 * z, 0.625 * z), (_pick(DARK, rng)[0], _pick(PALE, rng)[0], _pick(VIVID, rng)[0]))
    return Model("marker", shapes.revolved(profile, 0.0015, "marker"), texture, 0.2, 0.0)


def banana(rng: Rng) -> Model:
    length = rng.uniform(0.16, 0.19)
    texture = Spots((0.93, 0.77, 0.20), (0.45, 0.30, 0.12), 0.012, 0.28, _seed(rng))
    return Model("banana", shapes.banana(length, rng.uniform(0.016, 0.019)), texture, 0.12, 1.0)


def fruit(rng: Rng) -> Model:
    red = rng.random() < 0.5
    base, spot = ((0.78, 0.16, 0.12), (0.88, 0.62, 0.22)) if red else ((0.92, 0.52, 0.10), (0.96, 0.66, 0.22))
    return Model("fruit", shapes.ball(rng.uniform(0.032, 0.039)), Spots(base, spot, 0.02, 0.42, _seed(rng)), 0.25, 1.0)


def tape(rng: Rng) -> Model:
    radius = rng.uniform(0.042, 0.052)
    texture = Plain(_pick(VIVID, rng)[0], 0.05, 0.01, _seed(rng))
    return Model("tape", shapes.tape(radius, 0.68 * radius, rng.uniform(0.02, 0.035)), texture, 0.3, 0.9)


KINDS: tuple[Callable[[Rng], Model], ...] = (
    carton, mug, can, bowl, bottle, hammer, banana, small_box, jar, fruit,
    screwdriver, tape, book, cup, marker, block, pan,
)  # fmt: skip


def random_models(count: int, rng: Rng) -> list[Model]:
    """`count` models of varied kinds, about a quarter of them exact copies of others."""
    distinct = max(1, count - max(1, round(count / 4)) if count > 2 else count)
    kinds = [KINDS[k % len(KINDS)] for k in rng.permutation(len(KINDS) * (distinct // len(KINDS) + 1))[:distinct]]
    models = []
    for number, kind in enumerate(kinds):
        model = kind(rng)
        models.append(Model(f"{model.name}_{number + 1}", model.shape, model.texture, model.gloss, model.upright))
    models += [models[k] for k in rng.choice(distinct, count - distinct, replace=count > 2 * distinct)]
    # Large objects first: they carry the small ones, and are seldom pushed away.
    return sorted(models, key=lambda m: -float(np.prod(np.ptp(m.shape.mesh.vertices_m, axis=0))))
