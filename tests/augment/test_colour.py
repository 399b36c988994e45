"""Colour in batch against torchvision's operators with the same factors."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

from bakeoff.augment import Parameters, apply
from bakeoff.augment.colour import OPERATIONS, erase, jitter, shift_hue, trivial
from bakeoff.augment.exact import apply_exact

NEUTRAL = (1.0, 1.0, 1.0, 0.0)


def pictures(batch: int, side: int = 24) -> Tensor:
    """Noise (B, 3, S, S) uint8 over a share of the range that differs between images."""
    generator = torch.Generator().manual_seed(1)
    full = torch.randint(0, 256, (batch, 3, side, side), generator=generator)
    width = torch.linspace(0.2, 1, batch)[:, None, None, None]
    return (20 + full * width * 0.9).byte()


@pytest.mark.parametrize(
    ("step", "name", "factors"),
    [
        (0, "adjust_brightness", [0.0, 0.6, 1.0, 1.4, 1.99]),
        (1, "adjust_contrast", [0.0, 0.6, 1.0, 1.4, 1.99]),
        (2, "adjust_saturation", [0.0, 0.6, 1.0, 1.4, 1.99]),
        (3, "adjust_hue", [-0.5, -0.1, 0.0, 0.07, 0.33]),
    ],
)
def test_each_jitter_step_equals_torchvision(step: int, name: str, factors: list[float]) -> None:
    images = pictures(5).float() / 255
    drawn = torch.tensor([NEUTRAL] * 5)
    drawn[:, step] = torch.tensor(factors)
    got = jitter(images, drawn, torch.arange(4).expand(5, 4))
    for index, factor in enumerate(factors):
        expected = getattr(vision, name)(images[index], factor)
        torch.testing.assert_close(got[index], expected, atol=5e-6, rtol=0)


def test_jitter_keeps_each_images_own_order() -> None:
    """All 24 orders at once, against torchvision on 8-bit pixels: at most eight levels apart.

    Torchvision cuts to whole levels after every step, so its pictures are 1.5 levels darker.
    """
    orders = torch.cartesian_prod(*[torch.arange(4)] * 4)
    orders = orders[(orders.sort(1).values == torch.arange(4)).all(1)]  # (24, 4)
    images = pictures(24)
    factors = torch.tensor([[1.3, 0.7, 1.4, 0.1]]).expand(24, 4)
    got = jitter(images.float() / 255, factors, orders)
    steps = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")
    for index, order in enumerate(orders.tolist()):
        expected = images[index].float() / 255
        for step in order:
            expected = getattr(vision, steps[step])(expected, factors[index, step].item())
        torch.testing.assert_close(got[index], expected, atol=2e-5, rtol=0)
    parameters = Parameters(jitter=factors, order=orders)
    literal = apply_exact(images, parameters, 24)
    assert (got - literal).abs().max() * 255 < 8
    assert (got - literal).abs().mean() * 255 < 2
    assert (got[0] - got[-1]).abs().max() > 0.01  # the order matters


def test_red_turned_by_a_third_is_green() -> None:
    red = torch.tensor([1.0, 0.25, 0.25]).view(1, 3, 1, 1).expand(4, 3, 2, 2)
    turned = shift_hue(red, torch.tensor([0.0, 1 / 3, 2 / 3, 1.0]))[:, :, 0, 0]
    expected = torch.tensor([[4, 1, 1], [1, 4, 1], [1, 1, 4], [4, 1, 1]]) / 4
    torch.testing.assert_close(turned, expected, atol=1e-6, rtol=0)


COLOURS = [name for name in OPERATIONS if OPERATIONS.index(name) >= 6] + ["identity"]


@pytest.mark.parametrize("name", COLOURS)
def test_trivial_colour_equals_torchvision_on_8_bit_pixels(name: str) -> None:
    """Equal levels; where a product is cut to a whole number, one apart in less than 2 in 100."""
    strength = torch.arange(-30, 31, 4) / 30
    images = pictures(16)
    parameters = Parameters(operation=torch.full((16,), OPERATIONS.index(name)), strength=strength)
    got = trivial(images.float() / 255, parameters.operation, strength)
    difference = (got - apply_exact(images, parameters, 24)).abs() * 255
    blends = ("brightness", "contrast", "color", "sharpness")
    if name in blends:
        assert difference.max() < 1.01
        assert (difference > 0.01).float().mean() < 0.02
    else:
        assert difference.max() < 0.01
    if name != "identity":
        assert (got * 255 - images).abs().max() > 10


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_flat_channels_and_few_levels_stay_as_torchvision_leaves_them(name: str) -> None:
    image = torch.zeros(2, 3, 20, 20, dtype=torch.uint8)
    image[0, 0], image[0, 1, :10], image[0, 2, 3] = 77, 9, 255
    image[1, :, ::2] = 130
    operation = torch.full((2,), OPERATIONS.index(name))
    got = trivial(image.float() / 255, operation, torch.ones(2))
    expected = getattr(vision, name)(image)
    torch.testing.assert_close(got * 255, expected.float(), atol=1e-3, rtol=0)


def test_every_image_gets_its_own_operation() -> None:
    images = pictures(len(OPERATIONS))
    operation = torch.arange(len(OPERATIONS))
    strength = torch.full(operation.shape, 0.8)
    together = trivial(images.float() / 255, operation, strength)
    for index in range(len(OPERATIONS)):
        one = slice(index, index + 1)
        alone = trivial(images[one].float() / 255, operation[one], strength[one])
        torch.testing.assert_close(together[one], alone)


def test_a_hole_by_hand() -> None:
    images = torch.zeros(2, 3, 4, 4)
    erased = erase(images, torch.tensor([[1, 2, 2, 1], [3, 3, 0, 0]]))
    assert (erased[0, 0] != 0).nonzero().tolist() == [[1, 2], [2, 2]]
    assert erased[0, :, 1, 2].tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert erased[1].max() == 0


def test_erasing_stands_last_and_equals_torchvision() -> None:
    parameters = Parameters(hole=torch.tensor([[2, 3, 10, 7], [0, 0, 0, 0]]))
    images = pictures(2)
    got = apply(images, parameters, 24)
    torch.testing.assert_close(got, apply_exact(images, parameters, 24))
    assert got[1].max() > 0.5
