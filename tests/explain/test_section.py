"""The page's section: what is in it, escaped, and within its budget."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bakeoff.explain import maps, section, stored
from bakeoff.explain.pictured import pictured
from bakeoff.explain.stored import Panel
from bakeoff.explain.target import as_seen
from bakeoff.models import zoo
from bakeoff.paper import FORMATS
from bakeoff.recipe import parse
from bakeoff.store import RunFiles

pytestmark = pytest.mark.usefixtures("few_fits")
RNG = np.random.default_rng(0)


def arrays(model: str, side: int, image_id: str = "a<b>.jpg") -> dict[str, Any]:
    torch.manual_seed(0)
    net = zoo.build(parse({"model": model, "size": side}), 3)
    pixels = RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)
    shown, seen = as_seen(pixels, net, side)
    return maps.compute(net, seen, pixels=shown, image_id=image_id)


def run_of(folder: Path, variant: str, seed: int = 0, state: str = "finished") -> RunFiles:
    told = {"classes": ["<i>x</i>", "日本"]}
    return RunFiles(folder, "small", variant, seed, state, {}, {}, (), told)  # type: ignore[arg-type]


def panels(count: int) -> list[Panel]:
    image = RNG.integers(0, 256, (112, 112, 3), dtype=np.uint8)
    map_ = RNG.random((7, 7)).astype(np.float32)
    return [
        Panel(f"{n}<>.jpg", "wrong", 0, 1, 0.9, image, map_, 0.1, 0.2, 19 - n % 4, 19, 0.1, 0.1)
        for n in range(count)
    ]


def test_without_maps_there_is_no_section(tmp_path: Path) -> None:
    assert section.section([run_of(tmp_path, "base")]) is None


def test_the_section_says_and_shows_what_runs_stored(tmp_path: Path) -> None:
    base, other = tmp_path / "base", tmp_path / "other"
    kept = arrays("baseline", 64)
    stored.write_maps(base, kept)
    stored.write_maps(other, kept)
    stored.write_cams(other, panels(3))
    runs = [run_of(base, "base"), run_of(tmp_path / "no", "base", 1), run_of(other, "b&c")]
    found = section.section(runs)
    assert found is not None
    assert (found.id, found.title) == ("learned", "What it learned")
    html = str(found.html)
    assert "small/base, small/b&amp;c" in html  # the same filters are drawn once
    assert html.count("First-layer filters of") == 1
    assert "3 x 3 filters have 9 pixels and a Gabor has 8 parameters" in html
    assert html.count("<details>") == 2
    assert "conv1.0" in html
    assert "conv4.0" in html
    assert "2 of 3 maps passed both checks" in html
    assert html.count('class="doubted"') == 1
    assert "&lt;i&gt;x&lt;/i&gt;" in html
    assert "<i>x</i>" not in html
    assert "a<b>" not in html
    assert all(image.count('alt="') == 1 for image in re.findall(r"<img [^>]*>", html))
    assert not re.findall(r'src="(?!data:image/)', html)


def test_measured_filters_stand_beside_their_controls(tmp_path: Path) -> None:
    stored.write_maps(tmp_path, arrays("resnet18", 64))
    found = section.section([run_of(tmp_path, "base")])
    assert found is not None
    html = str(found.html)
    for name in ("small/base", "pixels shuffled", "random weights"):
        assert name in html
    assert "of 8</td>" in html


def test_many_variants_stay_within_the_budget(tmp_path: Path) -> None:
    noise = {
        "filters": RNG.integers(0, 256, (64, 7, 7, 3), dtype=np.uint8),
        **{
            f"activations_{n}": RNG.integers(0, 256, (64, 64, 64), dtype=np.uint8) for n in range(3)
        },
    }
    kept = {**arrays("resnet18", 64), **noise}
    runs = []
    for number in range(22):
        kept["filters"] = np.roll(kept["filters"], 1)
        stored.write_maps(tmp_path / f"v{number}", kept)
        runs.append(run_of(tmp_path / f"v{number}", f"v{number}"))
    stored.write_cams(tmp_path / "v3", panels(60))
    found = section.section(runs)
    assert found is not None
    assert 1_500_000 < len(found.html) < 3_000_000
    assert found.html.count("<details>") == 22
    assert "Grad-CAM" in found.html


def test_the_same_is_drawn_for_papers(tmp_path: Path) -> None:
    kept = tmp_path / "run"
    stored.write_maps(kept, arrays("baseline", 64))
    stored.write_cams(kept, panels(2))
    files = pictured([run_of(kept, "base")], tmp_path / "figures")
    layers = [f"activations-{layer}" for layer in ("conv1.0", "conv2.0", "conv4.0")]
    stems = [f"{what}-small-base" for what in ("weights", *layers, "cam")]
    assert [file.name for file in files] == [f"{stem}.{end}" for stem in stems for end in FORMATS]
    assert all(file.stat().st_size > 1000 for file in files)
    assert pictured([run_of(tmp_path / "none", "base")], tmp_path / "empty") == []
