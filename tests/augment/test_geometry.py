"""One resampling against torchvision's operators with the same parameters. Levels are 0..255."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as vision

from bakeoff.augment import Parameters, apply, draw, geometry, policy_named
from bakeoff.augment.exact import apply_exact

BILINEAR = InterpolationMode.BILINEAR


def noise(batch: int, side: int, seed: int = 0) -> Tensor:
    """White noise (B, 3, S, S) uint8: the hardest picture to resample."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, generator=generator)


def smooth(batch: int, side: int, seed: int = 0) -> Tensor:
    """Soft blobs (B, 3, S, S) uint8, about eight across."""
    coarse = noise(batch, 8, seed).float()
    return F.interpolate(coarse, size=side, mode="bicubic").clamp(0, 255).byte()


def boxes(*rows: tuple[int, int, int, int]) -> Tensor:
    return torch.tensor(rows)


def levels(images: Tensor, parameters: Parameters, size: int) -> Tensor:
    return apply(images, parameters, size) * 255


def test_a_flip_of_two_by_two_pixels_by_hand() -> None:
    image = torch.tensor([[0, 51], [102, 255]], dtype=torch.uint8).expand(4, 3, 2, 2)
    flip = torch.tensor([[False, False], [True, False], [False, True], [True, True]])
    got = levels(image, Parameters(box=boxes(*[(0, 0, 2, 2)] * 4), flip=flip), 2)[:, 0]
    expected = torch.tensor(
        [
            [[0, 51], [102, 255]],
            [[51, 0], [255, 102]],
            [[102, 255], [0, 51]],
            [[255, 102], [51, 0]],
        ]
    )
    torch.testing.assert_close(got, expected.float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("side", [4, 7])
def test_quarter_turns_move_every_pixel_whole(side: int) -> None:
    image = noise(1, side)
    box = boxes((0, 0, side, side))
    left = levels(image, Parameters(box=box, rotation=torch.tensor([90.0])), side)
    right = levels(image, Parameters(box=box, affine=torch.tensor([90.0])), side)
    torch.testing.assert_close(left, image.rot90(1, (2, 3)).float(), atol=1e-2, rtol=0)
    torch.testing.assert_close(right, image.rot90(-1, (2, 3)).float(), atol=1e-2, rtol=0)


def test_flips_equal_torchvision() -> None:
    image = noise(2, 31)
    flip = torch.tensor([[True, False], [False, True]])
    got = levels(image, Parameters(box=boxes(*[(0, 0, 31, 31)] * 2), flip=flip), 31)
    expected = torch.stack([vision.horizontal_flip(image[0]), vision.vertical_flip(image[1])])
    torch.testing.assert_close(got, expected.float(), atol=1e-2, rtol=0)


def test_an_enlarged_crop_equals_torchvisions_antialiased_one() -> None:
    image = noise(3, 64)
    box = boxes((0, 0, 20, 30), (3, 5, 56, 41), (44, 34, 20, 30))
    got = levels(image, Parameters(box=box), 56)
    for index, row in enumerate(box.tolist()):
        expected = vision.resized_crop(image[index].float(), *row, size=[56, 56], antialias=True)
        torch.testing.assert_close(got[index], expected, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("side", "smooth_bound", "noise_bound"), [(64, 1.0, 14.0), (128, 1.0, 17.0), (224, 1.0, 7.0)]
)
def test_a_shrunk_crop_is_near_torchvisions_antialiased_one(
    side: int, smooth_bound: float, noise_bound: float
) -> None:
    """Whole image to 56 pixels: shrunk 1.14 (one tap), 2.3 and 4 times (two and four a side)."""
    for picture, bound in ((smooth, smooth_bound), (noise, noise_bound)):
        image = picture(2, side)
        got = levels(image, Parameters(box=boxes(*[(0, 0, side, side)] * 2)), 56)
        expected = vision.resize(image.float(), [56, 56], antialias=True)
        assert (got - expected).square().mean().sqrt() < bound


def test_taps_keep_the_second_moment_of_the_antialiasing_triangle() -> None:
    box = boxes((0, 0, 128, 96))
    offsets = torch.stack(geometry.taps(box, 56, 128))[:, 0, :, 0, 0]  # (taps, 2)
    ratio = torch.tensor([96 / 56, 128 / 56])
    # A bilinear read has 1/6 of its own.
    torch.testing.assert_close(offsets.square().mean(0) + 1 / 6, ratio.square() / 6)
    torch.testing.assert_close(offsets.mean(0), torch.zeros(2))


def corners(matrix: Tensor, size: int) -> Tensor:
    """Where both coordinates are in the last half pixel, and the edges' two falls meet."""
    return (geometry.planes(matrix, size).abs() > size / 2 - 0.5).all(1, keepdim=True)


@pytest.mark.parametrize("angle", [-45.0, -17.3, 0.0, 30.0, 44.9])
def test_a_single_turn_equals_torchvisions_bilinear_one(angle: float) -> None:
    image, size = noise(1, 48), 48
    box, drawn = boxes((0, 0, size, size)), torch.tensor([angle])
    turned = vision.rotate(image.float(), angle, BILINEAR)
    moved = vision.affine(image.float(), angle, [0, 0], 1.0, [0.0, 0.0], BILINEAR)
    for parameters, matrix, expected in (
        (Parameters(box=box, rotation=drawn), geometry.turn(-drawn), turned),
        (Parameters(box=box, affine=drawn), geometry.turn(drawn), moved),
    ):
        away = ~corners(matrix, size)
        difference = (levels(image, parameters, size) - expected).abs() * away
        assert difference.max() < 0.05
        assert away.float().mean() > 0.99


@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"])
def test_trivial_geometry_equals_torchvisions_bilinear_operators(name: str) -> None:
    strength = torch.tensor([-0.9, -0.3, 0.0, 0.1, 0.7])
    operation = torch.full((5,), geometry_index(name))
    image = smooth(5, 64)
    parameters = Parameters(
        box=boxes(*[(0, 0, 64, 64)] * 5), operation=operation, strength=strength
    )
    got = levels(image, parameters, 64)
    expected = apply_exact(image, parameters, 64, "bilinear") * 255
    difference = (got - expected).abs()
    assert difference.max() <= 128  # a corner pixel, where two falling edges meet
    assert (difference > 1.01).float().mean() < 0.003


def geometry_index(name: str) -> int:
    from bakeoff.augment.colour import OPERATIONS

    return OPERATIONS.index(name)


def eroded(images: Tensor) -> Tensor:
    """Smallest level within two pixels; the frame of two pixels counts as on an edge, 0."""
    return F.pad(-F.max_pool2d(-images, 5, stride=1), (2, 2, 2, 2))


def test_one_resampling_shows_what_the_literal_sequence_shows() -> None:
    """White and black alike but within two pixels of an edge; the inside alike in level."""
    parameters = draw(policy_named("report"), 12, 128, 112, torch.Generator().manual_seed(3))
    white = torch.full((12, 3, 128, 128), 255, dtype=torch.uint8)
    ours = apply(white, parameters, 112)[:, :1]
    for interpolation in ("nearest", "bilinear"):
        theirs = apply_exact(white, parameters, 112, interpolation)[:, :1]
        assert theirs[eroded(ours) > 0.99].min() > 0.99
        assert theirs[eroded(1 - ours) > 0.99].max() < 0.01
        # Two bilinear reads darken every edge twice.
        assert abs(ours.mean() - theirs.mean()) < (0.003 if interpolation == "nearest" else 0.006)
    assert 0.05 < (ours == 0).float().mean() < 0.5
    image = smooth(12, 128)
    difference = apply(image, parameters, 112) - apply_exact(image, parameters, 112, "bilinear")
    assert (difference.abs() * (eroded(ours) > 0.99)).max() * 255 < 4
    assert difference.abs().mean() * 255 < 1


def test_a_turn_after_the_crop_does_not_uncover_the_source_around_it() -> None:
    """Only the crop is white; a turned crop must show white and black corners, nothing else."""
    image = torch.zeros(1, 3, 96, 96, dtype=torch.uint8) + 100
    image[:, :, 32:64, 32:64] = 200
    parameters = Parameters(box=boxes((32, 32, 32, 32)), rotation=torch.tensor([45.0]))
    got = levels(image, parameters, 64)
    assert got[0, 0, 0, 0] == 0
    assert got[0, 0, 32, 32] == pytest.approx(200, abs=1e-3)
    weight = geometry.inside([geometry.turn(torch.tensor([-45.0]))], 64)
    torch.testing.assert_close(got, 200 * weight.expand(1, 3, 64, 64), atol=1e-2, rtol=0)


def test_two_turns_cut_at_both_canvases() -> None:
    """45 degrees there and back restores the middle, but the corners were cut off on the way."""
    image = torch.full((1, 3, 64, 64), 255, dtype=torch.uint8)
    angle = torch.tensor([45.0])
    got = apply(image, Parameters(box=boxes((0, 0, 64, 64)), rotation=angle, affine=angle), 64)
    assert got[0, 0, 0, 0] == 0
    # An octagon is left: the meeting of the square with itself turned by 45 degrees.
    assert got[0, 0, 0, 19:45].min() == pytest.approx(1)
    assert got[0, 0, 0, :18].max() == 0
    assert (got[0, 0] > 0.5).float().mean() == pytest.approx(2 * 2**0.5 - 2, abs=0.01)


def test_composing_maps_is_their_order() -> None:
    generator = torch.Generator().manual_seed(0)
    first, then = torch.randn(2, 5, 2, 3, generator=generator)
    point = torch.randn(5, 3, 1, generator=generator)
    point[:, 2] = 1
    middle = torch.cat([first @ point, torch.ones(5, 1, 1)], dim=1)
    torch.testing.assert_close(geometry.compose(first, then) @ point, then @ middle)


def test_one_resampling_is_nearer_to_the_truth_than_one_after_another() -> None:
    """The truth is a wave of nine pixels' length, read where the composed map says."""
    size = 96
    step = torch.arange(size) - (size - 1) / 2

    def wave(x: Tensor, y: Tensor) -> Tensor:
        return 127.5 + 100 * torch.sin(2 * math.pi * (x + 0.4 * y) / 9)

    image = wave(step[None, :], step[:, None]).round().to(torch.uint8).expand(1, 3, size, size)
    rotation, affine = torch.tensor([20.0]), torch.tensor([13.0])
    turns = geometry.turn(-rotation), geometry.turn(affine)
    x, y = geometry.planes(geometry.compose(turns[1], turns[0]), size)[0]
    truth = wave(x, y)
    inside = torch.stack([x, y]).abs().amax(0) < size / 2 - 8
    inside &= geometry.planes(turns[1], size)[0].abs().amax(0) < size / 2 - 8
    parameters = Parameters(box=boxes((0, 0, size, size)), rotation=rotation, affine=affine)
    errors = {
        "once": (levels(image, parameters, size)[0, 0] - truth),
        "bilinear": (apply_exact(image, parameters, size, "bilinear")[0, 0] * 255 - truth),
        "nearest": (apply_exact(image, parameters, size, "nearest")[0, 0] * 255 - truth),
    }
    error = {name: each[inside].square().mean().sqrt().item() for name, each in errors.items()}
    assert error["once"] < 0.6 * error["bilinear"]
    assert error["once"] < 0.25 * error["nearest"]
