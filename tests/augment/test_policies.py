"""What is drawn, against torchvision's own draws; what every policy must hold."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import v2

from bakeoff.augment import POLICIES, Policy, apply, augment, draw, policy_named
from bakeoff.augment.exact import apply_exact
from bakeoff.augment.policies import draw_hole, draw_trivial

NUM = 2000


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def photographs(batch: int = 4, side: int = 40) -> Tensor:
    images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, generator=seeded(9))
    return images.contiguous(memory_format=torch.channels_last)


def torchvision_draws(transform: Any, side: int, *keys: str) -> Tensor:
    """NUM draws (NUM, keys) of a torchvision transform, under a seed that is then given back."""
    image = torch.zeros(3, side, side, dtype=torch.uint8)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        drawn = [transform.make_params([image]) for _ in range(NUM)]
    return torch.tensor([[row[key] for key in keys] for row in drawn], dtype=torch.float64)


def same_distribution(ours: Tensor, theirs: Tensor) -> bool:
    """Two-sample Kolmogorov-Smirnov; seeds are fixed, so the answer is too."""
    return bool(stats.ks_2samp(ours.double().numpy(), theirs.numpy()).pvalue > 0.01)


@pytest.mark.parametrize("min_scale", [0.08, 0.5])
def test_crops_are_distributed_as_torchvisions(min_scale: float) -> None:
    transform = v2.RandomResizedCrop(56, scale=(min_scale, 1.0))
    theirs = torchvision_draws(transform, 64, "top", "left", "height", "width")
    policy = replace(policy_named("standard"), scale=(min_scale, 1.0))
    box = draw(policy, NUM, 64, 56, seeded(1)).box
    assert box is not None
    for column in range(4):
        assert same_distribution(box[:, column], theirs[:, column])
    area, shape = box[:, 2] * box[:, 3], box[:, 3] / box[:, 2]
    assert same_distribution(area, theirs[:, 2] * theirs[:, 3])
    assert same_distribution(shape, theirs[:, 3] / theirs[:, 2])
    assert (box[:, :2] >= 0).all()
    assert (box[:, :2] + box[:, 2:] <= 64).all()


def test_the_smallest_crop_asked_for_takes_the_place_of_the_policys() -> None:
    images, policy = photographs(), replace(policy_named("report"), scale=(0.6, 1.0))
    asked = augment(images, "report", 32, seeded(3), min_scale=0.6)
    assert torch.equal(asked, augment(images, policy, 32, seeded(3)))
    assert not torch.equal(asked, augment(images, "report", 32, seeded(3)))


def test_a_crop_that_never_fits_is_the_whole_image() -> None:
    policy = Policy(scale=(3.0, 4.0))
    box = draw(policy, 5, 64, 56, seeded()).box
    assert box is not None
    assert box.tolist() == [[0, 0, 64, 64]] * 5


def test_turns_are_distributed_as_torchvisions() -> None:
    drawn = draw(policy_named("report"), NUM, 64, 56, seeded(1))
    turned = torchvision_draws(v2.RandomRotation(45), 56, "angle")[:, 0]
    moved = torchvision_draws(v2.RandomAffine(45), 56, "angle")[:, 0]
    assert drawn.rotation is not None
    assert drawn.affine is not None
    assert same_distribution(drawn.rotation, turned)
    assert same_distribution(drawn.affine, moved)
    assert abs(stats.pearsonr(drawn.rotation, drawn.affine).statistic) < 0.06


def test_flips_happen_to_half_of_the_images_independently() -> None:
    flip = draw(policy_named("report"), NUM, 64, 56, seeded(1)).flip
    assert flip is not None
    counts = torch.bincount(flip[:, 0] + 2 * flip[:, 1], minlength=4)
    assert stats.chisquare(counts.numpy()).pvalue > 0.01
    only = draw(policy_named("standard"), NUM, 64, 56, seeded(1)).flip
    assert only is not None
    assert not only[:, 1].any()


def test_jitter_is_distributed_as_torchvisions() -> None:
    transform = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    keys = [f"{name}_factor" for name in ("brightness", "contrast", "saturation", "hue")]
    theirs = torchvision_draws(transform, 8, *keys)
    drawn = draw(policy_named("report_jitter"), NUM, 64, 56, seeded(1))
    assert drawn.jitter is not None
    assert drawn.order is not None
    for column in range(4):
        assert same_distribution(drawn.jitter[:, column], theirs[:, column])
    code = (drawn.order * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = code.unique(return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


def test_trivial_operations_and_magnitudes_are_equally_likely() -> None:
    operation, strength = draw_trivial(NUM, seeded(1))
    counts = torch.bincount(operation, minlength=14)
    assert len(counts) == 14
    assert stats.chisquare(counts.numpy()).pvalue > 0.01
    steps = (strength.abs() * 30).round().long()
    torch.testing.assert_close(steps / 30, strength.abs())
    assert stats.chisquare(torch.bincount(steps, minlength=31).numpy()).pvalue > 0.01
    assert stats.binomtest(int((strength < 0).sum()), int((strength != 0).sum())).pvalue > 0.01


def test_holes_are_distributed_as_torchvisions() -> None:
    theirs = torchvision_draws(v2.RandomErasing(), 56, "i", "j", "h", "w")
    box = draw_hole(1.0, NUM, 56, seeded(1))
    for column in range(4):
        assert same_distribution(box[:, column], theirs[:, column])
    share = (draw_hole(0.25, NUM, 56, seeded(2))[:, 2] > 0).float().mean().item()
    assert share == pytest.approx(0.25, abs=3 * math.sqrt(0.25 * 0.75 / NUM))


@pytest.mark.parametrize("side", [40, 33, 32])
def test_none_is_the_centre_crop_and_nothing_else(side: int) -> None:
    images = photographs(side=side)
    expected = v2.functional.center_crop(images, [32, 32]).float() / 255
    got = augment(images, "none", 32, seeded())
    torch.testing.assert_close(got, expected, atol=6e-8, rtol=0)
    torch.testing.assert_close(augment(images, "none", 32, seeded(), exact=True), expected)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("exact", [False, True])
def test_every_policy_keeps_the_promise(name: str, exact: bool) -> None:
    images = photographs()
    before = images.clone()
    first = augment(images, name, 32, seeded(4), erase=0.5, exact=exact)
    assert first.shape == (4, 3, 32, 32)
    assert first.dtype == torch.float32
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert first.min() >= 0
    assert first.max() <= 1
    assert not first.requires_grad
    assert torch.equal(images, before)
    assert torch.equal(first, augment(images, name, 32, seeded(4), erase=0.5, exact=exact))
    assert not torch.equal(first, augment(images, name, 32, seeded(5), erase=0.5, exact=exact))


@pytest.mark.parametrize("name", POLICIES)
def test_only_the_given_generator_is_read_and_alike_with_exact(name: str) -> None:
    state = torch.random.get_rng_state()
    fused, exact = seeded(4), seeded(4)
    augment(photographs(), name, 32, fused, erase=0.5)
    augment(photographs(), name, 32, exact, erase=0.5, exact=True)
    assert torch.equal(fused.get_state(), exact.get_state())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", POLICIES)
def test_images_do_not_depend_on_their_batch(name: str) -> None:
    images = photographs(6)
    parameters = draw(policy_named(name), 6, 40, 32, seeded(2))
    row = {key: None if v is None else v[2:3] for key, v in vars(parameters).items()}
    alone = apply(images[2:3], type(parameters)(**row), 32)
    torch.testing.assert_close(apply(images, parameters, 32)[2:3], alone, atol=1e-6, rtol=0)


def test_channels_last_or_not_is_the_same_picture() -> None:
    images = photographs()
    parameters = draw(policy_named("report_jitter"), 4, 40, 32, seeded(2))
    plain = apply(images.contiguous(), parameters, 32)
    torch.testing.assert_close(apply(images, parameters, 32), plain, atol=1e-6, rtol=0)


class Refuse(TorchDispatchMode):
    """Fails on an operator that would make the host wait for the device."""

    waits = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "bincount", "equal")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in self.waits, f"{name} waits for the device"
        if name in ("index", "index_put_"):
            assert all(i is None or i.dtype != torch.bool for i in args[1]), "boolean indexing"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", POLICIES)
def test_nothing_waits_for_the_device(name: str) -> None:
    images = photographs()
    with Refuse():
        augment(images, name, 32, seeded(), erase=0.5)


def test_the_guard_against_waiting_can_fail() -> None:
    with Refuse(), pytest.raises(AssertionError, match="waits"):
        torch.ones(1).item()
    with Refuse(), pytest.raises(AssertionError, match="boolean"):
        torch.ones(3)[torch.ones(3, dtype=torch.bool)]


@pytest.mark.parametrize("name", ["report_jitter", "trivial"])
def test_apply_is_one_graph(name: str) -> None:
    parameters = draw(Policy(**{**vars(policy_named(name)), "erase": 0.5}), 4, 40, 32, seeded())
    compiled: Callable[..., Tensor] = torch.compile(apply, backend="eager", fullgraph=True)
    images = photographs()
    torch.testing.assert_close(compiled(images, parameters, 32), apply(images, parameters, 32))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", POLICIES)
def test_a_captured_graph_replays_new_draws(name: str) -> None:
    images = photographs().cuda()
    generator = torch.Generator("cuda").manual_seed(1)
    augment(images, name, 32, generator, erase=0.5)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        output = augment(images, name, 32, generator, erase=0.5)
    results = []
    for _ in range(2):
        graph.replay()
        results.append(output.clone())
    assert not torch.equal(*results)


def test_draws_of_trivial_and_report_match_the_literal_operators_on_average() -> None:
    """Fused and literal pictures of the same draws are alike in brightness, image by image."""
    images = photographs(8, 64)
    for name in ("report", "trivial"):
        parameters = draw(policy_named(name), 8, 64, 56, seeded(8))
        fused, exact = apply(images, parameters, 56), apply_exact(images, parameters, 56)
        assert (fused.mean((1, 2, 3)) - exact.mean((1, 2, 3))).abs().max() < 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, g: augment(x, "reprot", 32, g), "augment.policy.*did you mean 'report'"),
        (lambda x, g: augment(x, "none", 41, g), "size is 41.*40"),
        (lambda x, g: augment(x.float(), "none", 32, g), "images are torch.float32"),
        (lambda x, g: augment(x[..., :30], "none", 30, g), "allowed is uint8"),
        (lambda x, g: augment(x, "none", 32, g, erase=1.5), "augment.erase is 1.5"),
        (lambda x, g: augment(x, Policy((0.1, 1.0), (2.0, 3.0)), 32, g), "ratio is"),
    ],
)
def test_what_is_wrong_is_named(call: Callable[[Tensor, Generator], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(photographs(), seeded())


@pytest.mark.parametrize("name", POLICIES)
def test_reduced_precision_around_it_changes_nothing(name: str) -> None:
    images = photographs()
    expected = augment(images, name, 32, seeded(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augment(images, name, 32, seeded(4)), expected)
