"""What the two small nets can have besides the report's layers: links, gates, blurred steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bakeoff import run as running
from bakeoff.data.dataset import load
from bakeoff.data.spec import DataSpec
from bakeoff.explain.activations import activation_maps, default_layers
from bakeoff.export.runtimes import RUNTIMES, program
from bakeoff.inputs import seen
from bakeoff.machine import fabric
from bakeoff.models import folder as model_folder
from bakeoff.models import limits, zoo
from bakeoff.models.small import small_net
from bakeoff.options import NetOptions
from bakeoff.recipe import parse
from bakeoff.study import Row, Run

CPU = torch.device("cpu")
ALL = {"net.residual": True, "net.padding": 1, "net.attention": "se", "net.blur_pool": True}


def custom(**options: object) -> nn.Sequential:
    return small_net(NetOptions(extra_convs="around_pool", early_pool=True, **options), 20)  # type: ignore[arg-type]


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def link(name: str, **options: object) -> nn.Module:
    """Return a link of a custom net of 8 wide channels, in eval mode."""
    return custom(width=4, padding=1, **options).eval().get_submodule(name)


def set_to(link: nn.Module, factor: float) -> None:
    """Let a link's convolution multiply by `factor`, and its batch norm do nothing."""
    convolution, norm = link[0], link[1]  # type: ignore[index]
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[:, :, 1, 1] = factor * torch.eye(8)
    norm.eps = 0.0


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 685_780),
        ({"residual": True, "padding": 1}, 685_780),
        ({"blur_pool": True}, 685_780),
        ({"attention": "eca"}, 685_780 + 5 * 5),
        ({"attention": "se"}, 685_780 + 5 * (128 * 8 + 8 + 8 * 128 + 128)),
    ],
)
def test_what_each_option_adds_in_parameters(options: dict[str, object], count: int) -> None:
    assert parameters(custom(**options)) == count
    assert count < 700_000


def test_links_around_what_keeps_the_shape_have_the_tensors_of_the_plain_net() -> None:
    plain, linked = custom(padding=1), custom(padding=1, residual=True)
    assert list(plain.state_dict()) == list(linked.state_dict())
    linked.load_state_dict(plain.state_dict())
    changed = [
        name
        for name, module in linked.named_children()
        if type(module) is not type(plain.get_submodule(name))
    ]
    assert changed == ["conv3", "extra2"]
    before_pool = NetOptions(extra_convs="before_pool", padding=1, residual=True)
    kinds = [(n, type(m).__name__) for n, m in small_net(before_pool, 20).named_children()]
    linked_names = [name for name, kind in kinds if kind == "_Residual"]
    assert linked_names == ["conv3", "extra1", "extra2"]


@pytest.mark.parametrize(("factor", "expected"), [(0.0, 3.0), (1.0, 6.0), (-0.5, 1.5), (-2, 0.0)])
def test_a_link_adds_what_entered_before_the_activation(factor: float, expected: float) -> None:
    conv3 = link("conv3", residual=True)
    set_to(conv3, factor)
    maps = torch.full((2, 8, 5, 5), 3.0)
    assert torch.equal(conv3(maps), torch.full((2, 8, 5, 5), expected))


@pytest.mark.parametrize(("residual", "expected"), [(False, 2.0), (True, 6.0)])
def test_a_gate_weighs_what_a_link_gives_but_not_what_entered(
    residual: bool, expected: float
) -> None:
    """The gate's own weights are zero, so that it halves."""
    for attention in ("se", "eca"):
        conv3 = link("conv3", residual=residual, attention=attention)
        set_to(conv3, 1.0)
        with torch.no_grad():
            for parameter in conv3[2 if residual else 3].parameters():  # type: ignore[index]
                parameter.zero_()
        assert torch.equal(conv3(torch.full((1, 8, 4, 4), 4.0)), torch.full((1, 8, 4, 4), expected))


def test_gates_stand_after_the_wide_convolutions_only() -> None:
    named = dict(custom(attention="eca").named_modules())
    gates = {name.split(".")[0] for name, m in named.items() if type(m).__name__ == "EcaModule"}
    assert gates == {"conv2", "conv3", "extra1", "extra2", "conv4"}


def impulse(link: nn.Module, side: int) -> Tensor:
    """Return what `link` makes of a map that is 0 but for 1 in its middle."""
    maps = torch.zeros(1, 1, side, side)
    maps[0, 0, side // 2, side // 2] = 1
    return link(maps)[0, 0]  # type: ignore[no-any-return]


def test_a_step_of_two_is_blurred_over_three_pixels_and_one_of_three_over_five() -> None:
    two = link("pool", blur_pool=True, pool_stride=2)[1]  # type: ignore[index]
    row = torch.tensor([0, 2, 0]) / 4  # every second of 1 2 1, from the middle of 5 pixels
    assert torch.equal(impulse(two, 5), torch.outer(row, row))
    three = link("pool", blur_pool=True, pool_stride=3)[1]  # type: ignore[index]
    row = torch.tensor([0, 4, 1]) / 16  # every third of 1 4 6 4 1, which begins before the edge
    assert torch.equal(impulse(three, 7), torch.outer(row, row))


def test_a_step_of_one_has_nothing_to_blur() -> None:
    for name in ("early_pool", "pool"):
        assert isinstance(link(name, blur_pool=True, pool_stride=1), nn.MaxPool2d)
    assert "filt" not in dict(link("conv3", blur_pool=True).named_buffers())


@given(st.integers(3, 24), st.integers(1, 3), st.floats(-4, 4, width=16))
def test_a_blurred_pool_leaves_an_even_map_even(side: int, stride: int, level: float) -> None:
    pool = link("pool", blur_pool=True, pool_stride=stride)
    maps = pool(torch.full((1, 2, side, side), level))
    assert maps.shape[-1] == {1: side - 2, 2: (side - 1) // 2, 3: (side + 2) // 3}[stride]
    torch.testing.assert_close(maps, torch.full_like(maps, level), rtol=1e-6, atol=1e-6)


def test_a_shift_by_one_pixel_changes_less_after_a_blurred_pool() -> None:
    torch.manual_seed(0)
    maps = torch.rand(4, 2, 40, 40)
    changes = []
    for blurred in (False, True):
        pool = link("pool", blur_pool=blurred, pool_stride=3)
        here, there = pool(maps[..., 1:])[..., 2:-2, 2:-2], pool(maps[..., :-1])[..., 2:-2, 2:-2]
        changes.append(((here - there).norm() / (here - here.mean()).norm()).item())
    assert changes[1] < 0.8 * changes[0]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("attention", ["se", "eca"])
def test_bf16_and_channels_last_teach_every_parameter(stride: int, attention: str) -> None:
    torch.manual_seed(0)
    fields = {**ALL, "net.attention": attention, "net.pool_stride": stride, "net.width": 4}
    net = zoo.build(parse({"model": "custom", **fields}), 3).module
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(8, 3, 48, 48).to(memory_format=torch.channels_last)
    with fabric(CPU, "bf16").autocast():
        logits = net(images)
    assert logits.dtype == torch.bfloat16
    logits.float().logsumexp(1).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_sizes_and_batches_are_checked_with_every_option() -> None:
    recipe = parse({"model": "custom", "size": 224, **ALL})
    limits.check(recipe, 20, CPU)
    assert limits.largest_batch(recipe, 20) == 334  # 128 x 224 x 224 after the second convolution
    limits.check(parse({"model": "custom", "size": 32, **ALL}), 20, CPU)


@pytest.mark.parametrize("attention", ["se", "eca"])
def test_activation_maps_are_those_of_convolutions_not_of_gates(attention: str) -> None:
    recipe = parse({"model": "custom", "size": 48, **ALL, "net.attention": attention})
    net, image = zoo.build(recipe, 3), torch.randn(1, 3, 48, 48)
    net.module.eval()
    assert default_layers(net, image) == ("conv1.0", "conv3.0", "conv4.0")
    maps = activation_maps(net, image)
    assert maps["conv3.0"].shape == (128, 16, 16)


@pytest.mark.parametrize("attention", ["se", "eca"])
def test_onnx_answers_as_the_net_does(tmp_path: Path, attention: str) -> None:
    fields = {**ALL, "net.attention": attention, "net.width": 4}
    net = zoo.build(parse({"model": "custom", **fields}), 3).module.eval()
    onnx, images = RUNTIMES["onnx"], torch.randn(5, 3, 48, 48)
    onnx.write(program(net, images[:2], whole=False), tmp_path / "model.onnx", "images", "logits")
    with torch.no_grad():
        own = net(images).numpy()
    np.testing.assert_allclose(onnx.open(tmp_path / "model.onnx")(images.numpy()), own, atol=1e-5)


def test_a_run_with_every_option_leaves_a_model_that_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    plates = load(DataSpec(source="plates", per_class=4, validation=0.3), 32)
    fields = {**ALL, "model": "custom", "net.width": 4, "size": 32, "epochs": 2, "batch": 16}
    run = Run(
        Row("t", "v", parse({**fields, "augment.policy": "standard"}), {}, is_base=True),
        0,
        {"split": 42, "init": 0, "order": 0, "augmentation": 0},
    )
    list(running.run(tmp_path / "run", run, plates, CPU))
    net, recipe, classes = model_folder.read(tmp_path / "run" / "model")
    assert (recipe.net.attention, len(classes)) == ("se", 10)
    with np.load(tmp_path / "run" / "predictions.npz") as kept:
        logits = kept["validation_logits"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "finished"
    rows = plates.indices("validation")
    again = net.module(seen(plates.pixels[rows], net, 32)).detach().numpy()
    np.testing.assert_allclose(again, logits, atol=2e-2 * np.abs(logits).max())
