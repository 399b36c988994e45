"""Starting from an earlier model: its body, what travels with it, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bakeoff.api import load, train
from bakeoff.fields import RecipeError
from bakeoff.models import folder as model_folder
from bakeoff.models import weights, zoo
from bakeoff.recipe import parse
from bakeoff.settings import Settings

SMALL: dict[str, Any] = {"model": "baseline", "size": 32, "net": {"width": 4, "padding": 1}}
NAMES = "abc"


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """Return the folder of a net of three classes that saw pixels of another mean."""
    torch.manual_seed(7)
    recipe = parse(SMALL)
    net = zoo.build(recipe, 3)
    torch.nn.init.ones_(net.module.get_submodule(net.head).bias)
    model_folder.write(tmp_path / "earlier", net, recipe, NAMES)
    changed(tmp_path / "earlier", "pretrained_cfg", mean=[0.5, 0.25, 0.125], std=[0.5, 0.5, 0.25])
    return tmp_path / "earlier"


def changed(folder: Path, part: str, **fields: Any) -> None:
    """Lay fields over a part of a folder's config.json."""
    content = json.loads((folder / "config.json").read_text())
    content[part] |= fields
    (folder / "config.json").write_text(json.dumps(content))


def call(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run a command in `folder`; return what it said on stderr."""
    command = [sys.executable, "-m", "bakeoff", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def options(*fields: str) -> list[str]:
    return [part for field in fields for part in ("--set", field)]


def is_head(name: str) -> bool:
    return name.startswith("fc2.")


def test_a_net_of_other_classes_begins_with_all_but_the_head(earlier: Path) -> None:
    given = load_file(earlier / "model.safetensors")
    for count in (3, 5):
        torch.manual_seed(8)
        net = zoo.build(parse({**SMALL, "weights": str(earlier), "net.dropout": 0.1}), count)
        own = net.module.state_dict()
        assert own.keys() == given.keys()
        for name in own:
            assert torch.equal(own[name], given[name]) != is_head(name), name
        assert len(own["fc2.bias"]) == count
        assert (net.mean, net.std) == ((0.5, 0.25, 0.125), (0.5, 0.5, 0.25))


@pytest.mark.parametrize("inside", ["model", "best"])
def test_a_folder_that_holds_the_model_is_as_good(earlier: Path, inside: str) -> None:
    shutil.copytree(earlier, earlier.parent / "run" / inside)
    holder = str(earlier.parent / "run")
    zoo.build(parse({**SMALL, "weights": holder}), 2)
    assert weights.digest(holder) == weights.digest(str(earlier))


def test_a_start_is_named_by_its_content_and_what_travels_with_it(earlier: Path) -> None:
    known = weights.digest(str(earlier))
    assert len(known) == 16
    changed(earlier, "bakeoff", version="0.0")
    assert weights.digest(str(earlier)) == known
    changed(earlier, "pretrained_cfg", mean=[0.5, 0.5, 0.5])
    assert weights.digest(str(earlier)) != known
    path = earlier / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)
    changed(earlier, "pretrained_cfg", mean=[0.5, 0.25, 0.125])
    assert weights.digest(str(earlier)) != known


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "resnet18", "net": {}}, r"has model=baseline, and the recipe has model=resnet1"),
        ({"net.width": 8}, r"has net\.width=4, and the recipe has net\.width=8$"),
        (
            {"net.activation": "silu", "net.pool_stride": 1},
            r"net\.activation=relu, net\.pool_stride=3, and the recipe has net\.activation=silu, ",
        ),
    ],
)
def test_another_net_than_the_model_s_is_refused_with_what_that_is(
    earlier: Path, fields: dict[str, Any], said: str
) -> None:
    net = fields.pop("net", SMALL["net"])
    with pytest.raises(RecipeError, match=said):
        zoo.build(parse({**SMALL, "net": net, **fields, "weights": str(earlier)}), 2)


def test_a_model_that_contradicts_itself_is_refused(earlier: Path, tmp_path: Path) -> None:
    recipe, path = parse({**SMALL, "weights": str(earlier)}), earlier / "model.safetensors"
    good = load_file(path)
    cases = {
        "conv1.0.weight has another shape": {**good, "conv1.0.weight": torch.zeros(8, 3, 3, 3)},
        "conv1.0.weight is missing": {n: t for n, t in good.items() if n != "conv1.0.weight"},
        "other is not part of it": {**good, "other": torch.zeros(1)},
        "holds values that are no numbers": {**good, "fc1.0.bias": good["fc1.0.bias"] * torch.nan},
    }
    for said, tensors in cases.items():
        save_file(tensors, path)
        with pytest.raises(RecipeError, match=said):
            zoo.build(recipe, 2)
    path.unlink()
    for refused in (lambda: zoo.build(recipe, 2), lambda: weights.digest(str(earlier))):
        with pytest.raises(RecipeError, match=r"^weights: .*model\.safetensors is not a file$"):
            refused()
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match=r"^weights: .*empty: no config\.json here; give a model"):
        zoo.build(parse({**SMALL, "weights": str(tmp_path / "empty")}), 2)


def test_a_model_of_some_classes_is_tuned_on_others(tmp_path: Path) -> None:
    """What is frozen must come out as it lay in the folder that it began from."""
    few = options("data.per_class=4", "data.validation=0.5", "epochs=1", "precision=fp32")
    net = options("model=baseline", "size=32", "net.width=4", "net.padding=1", "stored=40")
    some, others = options("data.classes={every: 4}"), options("data.classes={every: 3, from: 1}")
    call(tmp_path, "train", "plates", "--out", "first", "--weights", "none", *net, *some, *few)
    tune = ["train", "plates", "--out", "second", "--start", "first", *others, *few]
    call(tmp_path, *tune, *options("freeze=backbone"))
    given = load_file(tmp_path / "first/best/model.safetensors")
    tuned = load_file(tmp_path / "second/best/model.safetensors")
    for name, tensor in tuned.items():
        assert torch.equal(tensor, given[name]) != is_head(name), name
    assert "1 runs were finished already" in call(tmp_path, *tune, *options("freeze=backbone"))
    shutil.rmtree(tmp_path / "first")
    model = load(tmp_path / "second")
    assert len(model.classes) == 3
    recipe = model.recipe
    assert (recipe.model, recipe.net.width, recipe.size, recipe.stored) == ("baseline", 4, 32, 40)


def test_start_and_weights_together_are_refused_and_set_wins(earlier: Path, tmp_path: Path) -> None:
    said = call(tmp_path, "train", "plates", "--weights", "none", "--start", "earlier", code=2)
    assert said == "bakeoff: start: earlier brings its weights, and none are given as well\n"
    with pytest.raises(RecipeError, match=r"^start: .* and imagenet are given as well$"):
        train("plates", weights="imagenet", start=earlier)
    said = call(tmp_path, "train", "plates", "--start", "nowhere", code=2)
    assert "nowhere: no config.json here; give a model folder" in said
    said = call(tmp_path, "train", "plates", "--start", "earlier", "--set", "net.width=6", code=2)
    assert "has net.width=4, and the recipe has net.width=6" in said


def test_a_program_starts_from_a_model_too(earlier: Path, tmp_path: Path) -> None:
    fields = {"epochs": 1, "data.per_class": 3, "data.validation": 0.3, "freeze": "backbone"}
    out = tmp_path / "made"
    model = train("plates", out=out, start=earlier, recipe=fields, settings=Settings("cpu"))
    given = load_file(earlier / "model.safetensors")
    assert torch.equal(model.net.module.state_dict()["conv1.0.weight"], given["conv1.0.weight"])
    assert len(model.classes) == 10
    assert model.net.mean == (0.5, 0.25, 0.125)
