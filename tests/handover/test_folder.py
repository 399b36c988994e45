"""A model folder from somebody else: refused in one sentence where it is not what it says."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import bakeoff
from bakeoff.fields import RecipeError
from bakeoff.models import folder as model_folder
from bakeoff.models import zoo
from bakeoff.recipe import parse

WEIGHTS = "model.safetensors"


def change(folder: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / "config.json").read_text())
    alter(content)
    (folder / "config.json").write_text(json.dumps(content))


def retensor(folder: Path, alter: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(folder / WEIGHTS)
    alter(state)
    save_file(state, folder / WEIGHTS)


def huge_header(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((2**40).to_bytes(8, "little") + b"{}")


def large(folder: Path) -> None:
    change(folder, lambda c: c["bakeoff"]["recipe"].update(model="vit_giant_patch14_224"))
    change(folder, lambda c: c["bakeoff"]["recipe"].update(net={}, size=224, stored=224))
    change(folder, lambda c: c["pretrained_cfg"].update(input_size=[3, 224, 224]))


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda f: (f / "config.json").unlink(), "no config.json here"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "is not a file"),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), "this is not JSON"),
    "deep": (lambda f: (f / "config.json").write_text("[" * 10**5), "this is not JSON"),
    "large JSON": (lambda f: (f / "config.json").write_text(" " * 2**25), "far smaller"),
    "another's": (lambda f: (f / "config.json").write_text("{}"), "not a model that bakeoff"),
    "class missing": (lambda f: change(f, lambda c: c["label_names"].pop()), "label_names"),
    "class twice": (lambda f: change(f, lambda c: c.update(label_names=["a", "a"])), "twice"),
    "more classes": (
        lambda f: change(f, lambda c: c.update(label_names=["a", "b", "c"], num_classes=3)),
        "fc2.weight has another shape",
    ),
    "wrong size": (
        lambda f: change(f, lambda c: c["pretrained_cfg"].update(input_size=[3, 8, 8])),
        "input_size",
    ),
    "std 0": (lambda f: change(f, lambda c: c["pretrained_cfg"].update(std=[1, 0, 1])), "std"),
    "odd recipe": (lambda f: change(f, lambda c: c["bakeoff"]["recipe"].update(x=1)), "recipe.x"),
    "a place": (
        lambda f: (
            change(f, lambda c: c["bakeoff"]["recipe"].update(model="hf-hub:me/net", net={})),
            change(f, lambda c: c.update(architecture="hf-hub:me/net")),
        ),
        "a place, not a net's name",
    ),
    "another net": (large, "is of another net than vit_giant_patch14_224"),
    "wrong shape": (
        lambda f: retensor(f, lambda s: s.update({"fc2.bias": torch.zeros(9)})),
        "fc2.bias has another shape",
    ),
    "tensor missing": (lambda f: retensor(f, lambda s: s.pop("fc2.bias")), "fc2.bias is missing"),
    "tensor more": (
        lambda f: retensor(f, lambda s: s.update(payload=torch.zeros(10**6))),
        "payload is not part of it",
    ),
    "not a number": (
        lambda f: retensor(f, lambda s: s["fc2.bias"].fill_(torch.nan)),
        "fc2.bias",
    ),
    "whole numbers": (
        lambda f: retensor(f, lambda s: s.update({"fc2.bias": torch.zeros(2, dtype=torch.int8)})),
        "of kind I8",
    ),
    "header": (huge_header, "has a header of 1099511627776 bytes"),
    "cut": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-7]),
        "cannot be read as weights",
    ),
    "pickle": (
        lambda f: (f / WEIGHTS).write_bytes(pickle.dumps(Path)),
        "model.safetensors",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_model_is_refused_in_one_sentence(best: Path, case: str) -> None:
    spoil, said = HOSTILE[case]
    spoil(best)
    with pytest.raises(RecipeError) as caught:
        bakeoff.load(best)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mean_and_std_are_those_of_the_config(best: Path) -> None:
    before = bakeoff.load(best).net
    change(best, lambda c: c["pretrained_cfg"].update(mean=[0.1, 0.2, 0.3]))
    after = bakeoff.load(best).net
    assert before.mean == (0.485, 0.456, 0.406)
    assert after.mean == (0.1, 0.2, 0.3)


def test_a_net_from_the_hub_is_named_by_its_architecture(tmp_path: Path) -> None:
    recipe = parse({"model": "timm/test_resnet", "size": 64})
    net = zoo.build(recipe, 3)
    place = "timm/local-dir:elsewhere"
    model_folder.write(
        tmp_path,
        type(net)(**{**vars(net), "name": place}),
        recipe.model_copy(update={"model": place}),
        ["a", "b", "c"],
    )
    assert json.loads((tmp_path / "config.json").read_text())["architecture"] == "test_resnet"
    again = bakeoff.load(tmp_path).net.module
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(again(images), net.module.eval()(images), rtol=0, atol=1e-6)


def test_everybody_who_may_read_the_config_may_read_the_weights(best: Path) -> None:
    modes = {path.name: path.stat().st_mode for path in best.iterdir() if path.is_file()}
    assert modes[WEIGHTS] == modes["config.json"]


def test_a_folder_without_a_model_names_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="give a model folder, a run folder or a study folder"):
        bakeoff.load(tmp_path)
