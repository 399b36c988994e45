"""What a run keeps: its arrays, their size, and reading them back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bakeoff.explain import maps, stored
from bakeoff.explain.target import as_seen
from bakeoff.models import zoo
from bakeoff.models.parts import Net
from bakeoff.recipe import parse

pytestmark = pytest.mark.usefixtures("few_fits")


def pixels(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_a_run_keeps_less_than_two_megabytes_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = zoo.build(parse({"model": "resnet18"}), 3)
    shown, seen = as_seen(pixels(256), net, 224)
    assert shown.shape == (224, 224, 3)
    arrays = maps.compute(
        net,
        seen,
        pixels=shown,
        image_id="tacos/1.jpg",
        start=net,
        sample=torch.cat((seen, -seen, 2 * seen, -3 * seen)),
    )
    assert stored.write_maps(tmp_path, arrays).stat().st_size < 2_000_000
    found = stored.read_maps(tmp_path)
    assert found is not None
    assert found.filters.shape == (64, 7, 7, 3)
    assert (found.num_filters, found.image_id, found.notes) == (64, "tacos/1.jpg", ())
    np.testing.assert_array_equal(found.image, shown)
    told = [(a.layer, a.shape, a.tiles.shape, a.left_out) for a in found.activations]
    assert told == [
        ("conv1", (64, 112, 112), (64, 64, 64), 0),
        ("layer2.1.conv2", (128, 28, 28), (64, 28, 28), 64),
        ("layer4.1.conv2", (512, 7, 7), (64, 7, 7), 448),
    ]
    assert all(a.tiles.max() == 255 and a.tiles.min() == 0 for a in found.activations)
    assert found.v1 is not None
    assert found.v1.start is not None
    assert found.v1.own.gabors == found.v1.start.gabors
    assert [stage["change"] for stage in found.drift] == [0.0] * 7


def test_the_photograph_is_seen_as_training_sees_it() -> None:
    net = zoo.build(parse({"model": "baseline", "size": 64}), 3)
    shown, seen = as_seen(pixels(70), net, 64)
    np.testing.assert_array_equal(shown, pixels(70)[3:67, 3:67])
    mean, std = np.array(net.mean), np.array(net.std)
    expected = (shown / 255 - mean) / std
    np.testing.assert_allclose(seen[0].permute(1, 2, 0), expected, atol=1e-5)


def test_tiles_of_large_maps_are_averages() -> None:
    ramp = torch.arange(128.0).repeat(128, 1)[None]
    found = maps.tiles(ramp)
    assert found.shape == (1, 64, 64)
    np.testing.assert_array_equal(found[0, 0, [0, -1]], [0, 255])
    np.testing.assert_allclose(np.diff(found[0, 0].astype(int)), 4, atol=1)


def test_what_a_net_does_not_have_is_a_note(tmp_path: Path, make_net) -> None:  # type: ignore[no-untyped-def]
    net: Net = make_net(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), "1", "1")
    arrays = maps.compute(net, torch.zeros(1, 3, 4, 4), pixels=pixels(4), image_id="x")
    stored.write_maps(tmp_path, arrays)
    found = stored.read_maps(tmp_path)
    assert found is not None
    assert (len(found.filters), found.activations, found.v1) == (0, (), None)
    assert len(found.notes) == 2


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 torn"])
def test_no_maps_or_damaged_ones_are_no_maps(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / stored.MAPS).write_bytes(content)
        (tmp_path / stored.CAMS).write_bytes(content)
    assert stored.read_maps(tmp_path) is None
    assert stored.read_cams(tmp_path) == ()


def test_arrays_of_another_make_are_no_maps(tmp_path: Path) -> None:
    for name in (stored.MAPS, stored.CAMS):
        np.savez(tmp_path / name, told=np.array("{}"))
    assert stored.read_maps(tmp_path) is None
    assert stored.read_cams(tmp_path) == ()


def panel(**fields: object) -> stored.Panel:
    given = {
        **{"image_id": "a.jpg", "kind": "wrong", "label": 0, "predicted": 1, "confidence": 0.9},
        **{"image": pixels(8), "map": np.eye(2, dtype=np.float32), "deletion": 0.1},
        **{"random_mean": 0.3, "beaten": 19, "moves": 19, "alike_head": 0.1, "alike_last": -0.2},
    }
    return stored.Panel(**{**given, **fields})  # type: ignore[arg-type]


def test_panels_come_back(tmp_path: Path) -> None:
    stored.write_cams(tmp_path, [panel(), panel(kind="right", alike_head=None)])
    first, second = stored.read_cams(tmp_path)
    np.testing.assert_array_equal(first.image, pixels(8))
    np.testing.assert_array_equal(first.map, np.eye(2))
    assert (first.kind, first.beaten, second.kind, second.alike_head) == (
        "wrong",
        19,
        "right",
        None,
    )


@pytest.mark.parametrize(
    ("fields", "doubts"),
    [
        ({}, 0),
        ({"beaten": 18}, 0),
        ({"beaten": 17}, 1),
        ({"alike_last": 0.51}, 1),
        ({"beaten": 3, "alike_head": 0.9}, 2),
        ({"map": np.zeros((2, 2), np.float32)}, 1),
        ({"alike_head": None}, 1),
    ],
)
def test_a_map_that_explains_nothing_is_doubted(fields: dict[str, object], doubts: int) -> None:
    assert len(panel(**fields).doubts) == doubts
