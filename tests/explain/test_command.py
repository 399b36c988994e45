"""`explain`, from names, run folders and model folders to pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from bakeoff.data.photographs import DataError
from bakeoff.explain.command import explain
from bakeoff.explain.target import load
from bakeoff.fields import RecipeError
from bakeoff.models import folder as model_folder
from bakeoff.models import zoo
from bakeoff.recipe import parse

SMALL = {"model": "baseline", "net": {"width": 8, "padding": 1}, "size": 40, "stored": 44}


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "a photograph.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    recipe = parse(SMALL)
    torch.manual_seed(0)
    place = tmp_path / "run"
    model_folder.write(place / "model", zoo.build(recipe, 3), recipe, ["tacos", "ramen", "日本"])
    return place


@pytest.mark.parametrize("inner", ["", "model"])
def test_a_run_or_a_model_folder_is_explained(
    run_folder: Path, photograph: Path, tmp_path: Path, inner: str
) -> None:
    found = explain(str(run_folder / inner), photograph, tmp_path / "out")
    names = [path.name for path in found.paths]
    assert names == [
        "weights.png",
        *("activations-conv1.0.png", "activations-conv2.0.png", "activations-conv4.0.png"),
        "cam.png",
    ]
    assert all(path.is_file() for path in found.paths)
    assert [name for name, _ in found.classes] != []
    assert sum(share for _, share in found.classes) == pytest.approx(1)
    shapes = {layer.name: layer.shape for layer in found.layers}
    assert shapes["conv1.0"] == (8, 40, 40)


def test_one_layer_by_name_in_any_format(
    run_folder: Path, photograph: Path, tmp_path: Path
) -> None:
    found = explain(
        str(run_folder), photograph, tmp_path / "out", layer="conv3.2", formats=("svg", "pdf")
    )
    names = [path.name for path in found.paths]
    assert names[2:4] == ["activations-conv3.2.svg", "activations-conv3.2.pdf"]
    with pytest.raises(RecipeError, match="did you mean conv3"):
        explain(str(run_folder), photograph, tmp_path / "out", layer="convv3")


def test_a_bare_name_has_pictures_but_no_classes(photograph: Path, tmp_path: Path) -> None:
    found = explain("baseline", photograph, tmp_path, size=64)
    assert found.classes == ()
    assert "weights.png" in [path.name for path in found.paths]
    assert found.notes == ("baseline: no Grad-CAM, its head was never trained",)
    again = load("baseline", size=64)
    weights = load("baseline", size=64).net.module.state_dict()
    assert all(torch.equal(weights[n], t) for n, t in again.net.module.state_dict().items())


def test_weights_from_a_file_bring_their_head(tmp_path: Path) -> None:
    net = zoo.build(parse({"model": "baseline"}), 7)
    save_file(net.module.state_dict(), tmp_path / "w.safetensors")
    found = load("baseline", weights=str(tmp_path / "w.safetensors"))
    assert len(found.classes) == 7
    assert torch.equal(found.net.module.state_dict()["fc2.weight"], net.module.fc2.weight)  # type: ignore[union-attr, arg-type]


def test_what_is_no_model_is_refused(tmp_path: Path, photograph: Path) -> None:
    for target in (str(tmp_path), str(photograph), "no/such/place"):
        with pytest.raises(RecipeError, match="no model here; allowed: a run folder, a model"):
            load(target)
    with pytest.raises(RecipeError, match="nobody knows resnet81; did you mean resnet1"):
        load("resnet81")


def test_a_folder_has_its_own_weights(run_folder: Path) -> None:
    with pytest.raises(RecipeError, match="are for bare names"):
        load(str(run_folder), weights="none")


def test_a_photograph_that_cannot_be_read_is_refused(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not an image"):
        explain(str(run_folder), tmp_path / "x.jpg", tmp_path / "out")
    with pytest.raises(DataError, match="cannot be read"):
        explain(str(run_folder), tmp_path / "y.jpg", tmp_path / "out")
