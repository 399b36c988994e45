"""Pictures: what is in them, and that the same input gives the same bytes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff import paper
from bakeoff.explain import draw, tiles, v1
from bakeoff.explain.stored import Activation, Panel
from bakeoff.explain.words import of_activation


def photograph(side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_a_grid_lays_tiles_in_rows_with_gaps() -> None:
    made = np.arange(1, 4, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)  # 1 x 1, RGB
    picture = tiles.grid(made, 2, gap=1, dimmed=np.array([False, False, True]))
    assert picture.shape == (3, 3, 4)
    assert picture[0, 0].tolist() == [1, 1, 1, 255]
    assert picture[0, 2].tolist() == [2, 2, 2, 255]
    assert picture[2, 0].tolist() == [3, 3, 3, 60]
    assert picture[1, 1, 3] == picture[2, 2, 3] == 0


@pytest.mark.parametrize(
    ("count", "wide", "columns"), [(64, 1, 8), (64, 1.4, 8), (96, 1, 8), (1, 1, 1)]
)
def test_rows_are_filled_where_they_can_be(count: int, wide: float, columns: int) -> None:
    assert tiles.columns_for(count, wide=wide) == columns


def test_an_indexed_png_keeps_each_value_and_its_gaps_are_transparent() -> None:
    made = np.array([[[0, 128]], [[255, 7]]], np.uint8)
    image = Image.open(BytesIO(tiles.indexed_png(made, 2)))
    assert np.asarray(image).tolist() == [[0, 128, 255, 254, 7]]
    shown = np.asarray(image.convert("RGBA"))
    assert shown[0, 0].tolist() == [68, 1, 84, 255]  # viridis begins so
    assert shown[0, 2, 3] == 0


def test_small_tiles_are_enlarged_whole() -> None:
    made = tiles.enlarged(np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1))
    assert made.shape == (1, 12, 12, 1)
    assert (made[0, :4, :4] == 0).all()
    assert tiles.enlarged(made).shape == made.shape


def test_a_map_lights_the_photograph_where_it_is_high() -> None:
    grey = np.full((16, 16, 3), 100, np.uint8)
    lit = tiles.overlay(grey, np.array([[1, 0], [0, 0]], np.float32))
    assert lit[0, 0].tolist() == [100, 100, 100]
    assert lit[-1, -1].max() < 35
    assert (lit == tiles.LINE).all(axis=2).any()
    flat = tiles.overlay(grey, np.zeros((2, 2), np.float32))
    assert (flat == 30).all()


def figures() -> dict[str, draw.Figure]:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 3, 5, 5))
    likeness = v1.compare(weights, weights)
    pictures = rng.integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
    activation = Activation("$conv_1$", (9, 4, 4), rng.integers(0, 256, (6, 4, 4), dtype=np.uint8))
    map_ = rng.random((2, 2)).astype(np.float32)
    checks = (0.1, 0.2, 3, 19, 0.0, 0.1)
    some = [
        Panel("a", kind, 0, 1, 0.9, photograph(), map_, *checks)  # type: ignore[arg-type]
        for kind in ("wrong", "uncertain", "right", "right")
    ]
    return {
        "filters": draw.filters_figure(pictures, np.arange(6) > 0, "net", likeness),
        "activation": draw.activation_figure(activation, photograph(), "net"),
        "cam": draw.cam_figure(some, ["<b>", "a_b"], "net"),
        "one": draw.cam_figure(some[:1], ["x", "y"], "net"),
        "likeness": draw.likeness_figure(likeness, "net"),
    }


def test_every_figure_is_written_in_every_format(tmp_path: Path) -> None:
    for stem, figure in figures().items():
        paths = paper.save(figure, tmp_path, stem)
        assert [path.name for path in paths] == [f"{stem}.{suffix}" for suffix in paper.FORMATS]
        assert all(path.stat().st_size > 1000 for path in paths)


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = figures()["activation"], figures()["activation"]
    for suffix in paper.FORMATS:
        assert paper.drawn(first, suffix) == paper.drawn(second, suffix)


def test_dead_filters_are_struck_out() -> None:
    assert len(figures()["filters"].axes[0].lines) == 2


def test_what_is_left_out_is_said() -> None:
    shown = Activation("x", (9, 4, 4), np.zeros((6, 4, 4), np.uint8))
    assert "9 filters of 4 × 4, the first 6 shown (3 left out)" in of_activation(shown)
