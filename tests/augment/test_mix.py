"""MixUp and CutMix by hand, and their shares against the Beta distribution."""

import sys

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor
from torchvision.transforms import v2

from bakeoff.augment import mix
from bakeoff.augment.mix import draw_shares, hole_mask

mixing = sys.modules["bakeoff.augment.mix"]  # the name in the package is the function's


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_follow_beta(alpha: float) -> None:
    share, cut = draw_shares(alpha, 0.0, 2000, seeded(1))
    assert stats.kstest(share.double().numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert not cut.any()


def test_with_both_on_half_of_the_images_are_cut() -> None:
    share, cut = draw_shares(1.0, 1.0, 2000, seeded(1))
    assert stats.binomtest(int(cut.sum()), 2000).pvalue > 0.01
    assert ((share >= 0) & (share <= 1)).all()


def test_a_very_small_alpha_keeps_one_of_the_two_whole() -> None:
    share, _ = draw_shares(1e-6, 0.0, 500, seeded())
    assert share.isfinite().all()
    assert ((share < 1e-6) | (share > 1 - 1e-6)).all()


def test_a_hole_in_the_middle_and_one_cut_off_by_the_edge() -> None:
    mask = hole_mask(torch.tensor([0.75, 0.75, 1.0]), torch.tensor([[0.5, 0.5], [0, 0], [0, 0]]), 8)
    assert mask.sum((1, 2)).tolist() == [16, 4, 0]
    assert mask[0, 2:6, 2:6].all()
    assert mask[1, :2, :2].all()


def test_mixup_blends_images_and_labels_with_the_same_share() -> None:
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4).contiguous()
    mixed, soft = mix(images, torch.tensor([0, 2]), 3, seeded(3), mixup=1.0)
    first, second = mixed[:, 0, 0, 0].tolist()
    assert 0 < first < 1
    assert 0 < second < 1
    assert soft.tolist()[0] == pytest.approx([1 - first, 0, first])
    assert soft.tolist()[1] == pytest.approx([1 - second, 0, second])


def test_cutmix_weighs_labels_by_the_pixels_kept() -> None:
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 16, 16).contiguous() + 1
    labels = torch.arange(6)
    mixed, soft = mix(images, labels, 6, seeded(3), cutmix=1.0)
    for index in range(6):
        other = (index - 1) % 6
        kept = (mixed[index, 0] == index + 1).float().mean().item()
        taken = (mixed[index, 0] == other + 1).float().mean().item()
        assert kept + taken == pytest.approx(1)
        assert soft[index, index].item() == pytest.approx(kept)
        assert soft[index, other].item() == pytest.approx(taken, abs=1e-6)
    assert 0.2 < soft.diagonal().mean() < 0.95


def test_labels_sum_to_one_and_the_generator_decides_all() -> None:
    images = torch.rand(8, 3, 16, 16, generator=seeded())
    images = images.contiguous(memory_format=torch.channels_last)
    state = torch.random.get_rng_state()
    labels = torch.arange(8) % 3
    first = mix(images, labels, 3, seeded(7), mixup=0.4, cutmix=1.0)
    again = mix(images, labels, 3, seeded(7), mixup=0.4, cutmix=1.0)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    torch.testing.assert_close(first[1].sum(1), torch.ones(8))
    assert first[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_mixing_with_both_off_is_refused() -> None:
    with pytest.raises(ValueError, match="one must be above 0"):
        mix(torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.long), 2, seeded())


def test_equal_shares_and_holes_give_torchvision_s_images_and_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = torch.rand(4, 3, 16, 16, generator=seeded()), torch.tensor([0, 2, 1, 2])
    facts = {"labels": labels, "batch_size": 4}

    def mixed(share: Tensor, cut: bool) -> tuple[Tensor, Tensor]:
        whole = share, torch.full((4,), cut)
        monkeypatch.setattr(mixing, "draw_shares", lambda *_: whole)
        return mix(images, labels, 3, seeded(5), mixup=1.0)

    operator = v2.MixUp(num_classes=3)
    for given, wanted in zip(mixed(torch.full((4,), 0.3), False), (images, labels), strict=True):
        torch.testing.assert_close(given, operator.transform(wanted, {**facts, "lam": 0.3}))

    share = torch.tensor([0.1, 0.4, 0.75, 0.95])
    both = mixed(share, True)
    middle = torch.rand(4, 2, generator=seeded(5))  # as drawn: row and column
    cutter = v2.CutMix(num_classes=3)
    for index in range(4):
        half = int(0.5 * (1 - share[index].item()) ** 0.5 * 16)
        row, column = (int(place * 16) for place in middle[index].tolist())
        left, right = max(column - half, 0), min(column + half, 16)
        top, bottom = max(row - half, 0), min(row + half, 16)
        adjusted = 1 - (right - left) * (bottom - top) / 256
        drawn = {**facts, "box": (left, top, right, bottom), "lam_adjusted": adjusted}
        for given, wanted in zip(both, (images, labels), strict=True):
            torch.testing.assert_close(given[index], cutter.transform(wanted, drawn)[index])
