"""What processes share and how, worked out in this one: slices, draws, norms, launchers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from timm.layers.norm_act import BatchNormAct2d
from torch import nn
from torch.nn import functional as F

from bakeoff import step, streaming
from bakeoff.cli import console
from bakeoff.fields import RecipeError
from bakeoff.inputs import from_pixels
from bakeoff.launched import Place, place
from bakeoff.loop import TrainingError
from bakeoff.models import norms, zoo
from bakeoff.ranks import ALONE, ElsewhereError, ProcessLostError, Ranks
from bakeoff.recipe import parse
from bakeoff.stepping import check
from bakeoff.stopping import asked, noted

CPU = torch.device("cpu")


def test_rows_are_divided_as_numpy_divides_them() -> None:
    for count, size in ((10, 4), (4, 4), (3, 4), (17, 2)):
        mine = [list(range(count))[Ranks(rank, size).own(count)] for rank in range(size)]
        assert mine == [part.tolist() for part in np.array_split(np.arange(count), size)]


def test_a_process_without_rows_evaluates_one_for_nothing() -> None:
    order = [torch.arange(6), torch.tensor([6])]
    parts = [Ranks(rank, 4).parts(order) for rank in range(4)]
    assert [[each.tolist() for each in part] for part in parts] == [
        [[0, 1], [6]], [[2, 3], [6]], [[4], [6]], [[5], [6]],
    ]  # fmt: skip
    outputs = (torch.full((len(part), 2), float(part[0])) for part in ALONE.parts(order))
    assert ALONE.joined(outputs, order)[:, 0].tolist() == [0] * 6 + [6]


@pytest.mark.parametrize("policy", ["none", "report_jitter", "trivial"])
@pytest.mark.parametrize("mixed", [{}, {"mixup": 0.4, "cutmix": 0.6}])
def test_each_draws_for_its_rows_what_one_process_would(
    policy: str, mixed: dict[str, float]
) -> None:
    recipe = parse({"model": "baseline", "size": 24, "augment": {"policy": policy, **mixed}})
    pixels = np.random.default_rng(0).integers(0, 256, (12, 24, 24, 3), dtype=np.uint8)
    net = zoo.build(parse({"model": "baseline", "size": 24, "net": {"padding": 1}}), 3)
    whole = from_pixels(pixels, np.arange(12) % 3, net, 3, 24, recipe.augment, CPU)
    order = [torch.arange(11).flip(0)]

    def drawn(ranks: Ranks) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = replace(whole, ranks=ranks)
        with streaming.own_in_order(inputs, order) as stream:
            (batch,) = stream
        assert batch.whole == 11
        return inputs.drawn(batch, torch.Generator().manual_seed(5))

    images, targets = drawn(ALONE)
    parts = [drawn(Ranks(rank, 3)) for rank in range(3)]
    assert [len(part[0]) for part in parts] == [4, 4, 3]
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), images)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), targets)


@pytest.mark.parametrize("soft", [False, True])
def test_what_the_mean_loss_divides_by_is_pytorch_s(soft: bool) -> None:
    torch.manual_seed(0)
    weight, logits = torch.tensor([0.5, 1.0, 4.0]), torch.randn(5, 3)
    labels = torch.tensor([0, 2, 1, 2, 0])
    targets = F.one_hot(labels, 3).float() if soft else labels
    mean = F.cross_entropy(logits, targets, weight=weight, label_smoothing=0.1)
    total = F.cross_entropy(
        logits, targets, weight=weight, label_smoothing=0.1, reduction="none"
    ).sum()
    torch.testing.assert_close(mean * step._divisor(weight, targets), total)


@pytest.fixture
def group() -> Iterator[None]:
    """A group of this process alone: what is gathered is its own."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, BatchNormAct2d])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_over_all_is_pytorch_s(
    kind: type[nn.Module], momentum: float | None, group: None
) -> None:
    torch.manual_seed(0)
    one, other = (nn.Sequential(kind(5)) for _ in range(2))
    for norm in (one[0], other[0]):
        norm.momentum = momentum
    norms.over_all(other, CPU)
    assert type(other[0]) is not kind
    images = torch.randn(6, 5, 4, 4) * 3 + 2
    for _ in range(3):
        inputs = [images.clone().requires_grad_() for _ in range(2)]
        outputs = [net(given) for net, given in zip((one, other), inputs, strict=True)]
        torch.testing.assert_close(outputs[0], outputs[1])
        for output in outputs:
            (output**3).sum().backward()
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-4, atol=1e-3)
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor)
    one.eval()
    other.eval()
    torch.testing.assert_close(one(images), other(images))


def test_who_started_us_is_read_from_the_environment() -> None:
    assert place({}) == Place()
    torchrun = {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    assert place({**torchrun, "LOCAL_WORLD_SIZE": "2"}) == Place(3, 4, 1, 2, "torchrun")
    one = {**torchrun, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    assert place(one) == Place()
    slurm = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1"}
    assert place({**slurm, "SLURM_NTASKS_PER_NODE": "4"}) == Place(5, 8, 1, 4, "srun")
    assert place({**slurm, "SLURM_STEP_NUM_TASKS": "1"}) == Place()
    with pytest.raises(RecipeError, match="--ntasks-per-node"):
        place(slurm)


def test_strategies_and_steps_that_cannot_be_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"--strategy: dpp is not allowed.*ddp"):
        console.followers_follow("dpp", "cpu")
    with pytest.raises(RecipeError, match="compiled is for one process, and these are 2"):
        check("compiled", CPU, 2)
    check("eager", CPU, 2)


def test_signals_are_only_noted_where_all_must_agree() -> None:
    from bakeoff import stopping

    with noted():
        stopping._interrupt(15, None)
        assert asked()
        assert not asked()
    with pytest.raises(KeyboardInterrupt), noted():
        stopping._interrupt(15, None)
    with noted(False), pytest.raises(KeyboardInterrupt):
        stopping._interrupt(15, None)


def test_what_befalls_one_alone_is_told_from_what_all_know(group: None) -> None:
    two = Ranks(0, 2, control=dist.group.WORLD)  # of whom one is silent
    with pytest.raises(OSError, match="full"), two.guarded(), two.alike():
        raise OSError("the disk is full")
    with pytest.raises(TrainingError), two.guarded(TrainingError):
        raise TrainingError("all saw the same numbers")
    with pytest.raises(ProcessLostError, match="process 0 of 2: ZeroDivisionError"), two.guarded():
        raise ZeroDivisionError
    with pytest.raises(ProcessLostError, match="has lost another"), two.guarded():
        raise RuntimeError("Connection closed by peer")
    assert issubclass(ElsewhereError, Exception)


def test_too_small_a_batch_is_refused() -> None:
    from bakeoff.run import _demand_enough

    _demand_enough(torch.arange(8), 4, Ranks(0, 4))
    with pytest.raises(TrainingError, match="batch: 2 photographs cannot be shared by 4"):
        _demand_enough(torch.arange(5), 4, Ranks(0, 4))
