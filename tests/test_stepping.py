"""Ways of stepping: what is compiled, recorded or moved into gives what the plain step gives."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bakeoff import capture, machine, optimizers, step, stepping
from bakeoff import run as running
from bakeoff.data.dataset import Dataset, load
from bakeoff.data.spec import DataSpec
from bakeoff.fields import RecipeError
from bakeoff.inputs import from_pixels
from bakeoff.models import zoo
from bakeoff.models.parts import freeze, train_mode
from bakeoff.recipe import parse
from bakeoff.stepping import Steps
from bakeoff.study import Row, Run

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TINY: dict[str, Any] = {
    "model": "baseline",
    "net": {"width": 4, "padding": 1, "dropout": 0.2},
    "size": 16,
    "stored": 20,
    "precision": "fp32",
    "epochs": 2,
    "batch": 16,
    "augment": {"policy": "report_jitter", "erase": 0.3, "mixup": 0.2},
}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return 70 photographs to train on: batches of 16 become five of 14."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load(DataSpec(source="plates", per_class=10, validation=0.3), 20)


def finished(
    folder: Path,
    fields: dict[str, Any],
    plates: Dataset,
    steps: Steps | None = None,
    where: torch.device = CPU,
    seed: int = 0,
) -> dict[str, Any]:
    """Carry out a run; return its weights, its records without times and its test logits."""
    row = Row("t", "v", parse(fields), {}, is_base=True)
    run = Run(row, seed, {"split": 42, "init": seed, "order": seed, "augmentation": seed})
    list(running.run(folder, run, plates, where, steps=steps))
    return content(folder)


def content(folder: Path) -> dict[str, Any]:
    clocks = ("seconds", "images_per_second")
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    with np.load(folder / "predictions.npz") as arrays:
        logits = arrays["test_logits"]
    return {
        "weights": load_file(folder / "model" / "model.safetensors"),
        "records": [{k: v for k, v in line.items() if k not in clocks} for line in lines],
        "logits": logits,
        "step": json.loads((folder / "run.json").read_text())["environment"]["step"],
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two runs are equal, bit for bit."""
    assert one["records"] == other["records"]
    np.testing.assert_array_equal(one["logits"], other["logits"])
    for name, tensor in one["weights"].items():
        assert torch.equal(tensor, other["weights"][name]), name


def a_work(fields: dict[str, Any], where: torch.device, init: int = 0) -> step.Work:
    """Return a net to be stepped, on 11 drawn photographs in batches of 6 and 5."""
    recipe = parse(fields)
    torch.manual_seed(init)
    net = zoo.build(recipe, 10)
    freeze(net, recipe.freeze)
    fabric = machine.fabric(where, machine.precision(recipe.precision, where))
    net.module.to(where).to(memory_format=torch.channels_last)
    pixels = np.random.default_rng(0).integers(0, 256, (11, 20, 20, 3), dtype=np.uint8)
    inputs = from_pixels(pixels, np.arange(11) % 10, net, 10, recipe.size, recipe.augment, where)
    optimizer = optimizers.make(recipe, net.module.named_parameters())
    model, wrapped = fabric.setup(net.module, optimizer)
    train_mode(model)
    return step.Work(fabric, model, wrapped, inputs, recipe, None, (6, 5), 11)


def stepped(one: step.Step, work: step.Work, count: int = 4) -> list[float]:
    """Take steps on batches of 6 and 5 by turns at falling rates; return their losses."""
    drawing = torch.Generator(work.inputs.device).manual_seed(3)
    torch.manual_seed(4)
    batches = torch.arange(11).tensor_split(2)
    losses = []
    for number in range(count):
        optimizers.set_rate(work.optimizer.param_groups, 0.01 / (number + 1))
        loss, right = one(work.inputs.batch(batches[number % 2]), drawing)
        assert 0 <= int(right) <= 6
        losses.append(float(loss))
    return losses


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_step_that_is_repeated_on_fixed_tensors_is_the_plain_one(
    tmp_path: Path, plates: Dataset, optimizer: str
) -> None:
    """Warming up, copying in, the rate as a tensor and all generators leave no trace."""
    fields = {**TINY, "optimizer": optimizer, "schedule": "cosine"}
    plain = finished(tmp_path / "plain", fields, plates)
    assert plain["step"] == "eager"
    steps = Steps("captured_eager", capture.again)
    bound = finished(tmp_path / "bound", fields, plates, steps)
    assert bound["step"] == "captured_eager"
    same(plain, bound)


def test_the_next_run_of_a_kind_moves_into_the_step_that_is_there(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def counted(work: step.Work, record: capture.Record | None) -> step.Step:
        made.append(work.recipe.model)
        return capture.captured_eager(work, record)

    monkeypatch.setattr(stepping, "WAYS", {"captured_eager": counted})
    with Steps("captured_eager", capture.again) as steps:
        for seed, change in enumerate(({}, {"lr": 1e-2, "epochs": 1}, {"batch": 8})):
            fields = {**TINY, **change}
            plain = finished(tmp_path / f"plain{seed}", fields, plates, seed=seed)
            same(plain, finished(tmp_path / f"bound{seed}", fields, plates, steps, seed=seed))
    assert len(made) == 2, "another rate and length share a step, another size of batches does not"


def test_a_run_that_was_interrupted_moves_in_with_all_it_had(
    tmp_path: Path, plates: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    plain = finished(tmp_path / "plain", TINY, plates)
    steps = Steps("captured_eager", capture.again)
    finished(tmp_path / "other", TINY, plates, steps, seed=1)
    row = Row("t", "v", parse(TINY), {}, is_base=True)
    run = Run(row, 0, {"split": 42, "init": 0, "order": 0, "augmentation": 0})
    broken = running.run(tmp_path / "broken", run, plates, CPU, steps=steps)
    next(broken)
    broken.close()
    shutil.copytree(tmp_path / "broken", tmp_path / "elsewhere")
    same(plain, finished(tmp_path / "broken", TINY, plates, steps))
    eagerly = finished(tmp_path / "elsewhere", TINY, plates)
    assert eagerly["step"] == "eager", "a checkpoint of one way of stepping serves another"
    same(plain, eagerly)


def test_trying_a_step_out_changes_nothing() -> None:
    work = a_work({**TINY, "freeze": "first_conv"}, CPU)
    stepped(step.eager(work), work)
    before = {name: tensor.clone() for name, tensor in work.model.state_dict().items()}
    moments = [value.clone() for state in work.optimizer.state.values() for value in state.values()]
    random = torch.get_rng_state()
    capture.captured_eager(work, capture.again)
    for name, tensor in work.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    now = [value for state in work.optimizer.state.values() for value in state.values()]
    assert all(map(torch.equal, moments, now))
    assert torch.equal(random, torch.get_rng_state())


def test_batches_have_at_most_two_sizes() -> None:
    assert step.sizes(70, 16) == (14,)
    assert step.sizes(100, 32) == (25,)
    assert step.sizes(11, 6) == (6, 5)
    for images, batch in ((70, 16), (1000, 37), (33, 32), (5, 8)):
        parts = torch.arange(images).tensor_split(-(-images // batch))
        assert step.sizes(images, batch) == tuple(dict.fromkeys(map(len, parts)))


@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a C++ compiler")
def test_the_compiled_net_gives_the_numbers_of_the_plain_one() -> None:
    """Bound: losses within 1e-4, weights after four steps within 1e-3 of the plain ones.

    At a rate of 0.01, Adam's first steps move every weight by that much.
    """
    fields = {**TINY, "net": {**TINY["net"], "dropout": 0.0}}
    work, plain = a_work(fields, CPU), a_work(fields, CPU)
    with Steps("compiled") as steps:
        losses = stepped(steps.make(work), work)
        assert losses == pytest.approx(stepped(step.eager(plain), plain), rel=1e-4)
        wanted = plain.model.state_dict()
        for name, tensor in work.model.state_dict().items():
            torch.testing.assert_close(tensor, wanted[name], rtol=0, atol=1e-3)
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        other, plain = a_work(fields, CPU, init=1), a_work(fields, CPU, init=1)
        losses = stepped(steps.make(other), other)
        assert losses == pytest.approx(stepped(step.eager(plain), plain), rel=1e-4)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs > 0


def test_a_way_that_cannot_be_had_is_refused_or_replaced_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> step.Step:
        raise RuntimeError("no compiler\nmany lines of trace")

    monkeypatch.setattr(stepping, "WAYS", dict.fromkeys(stepping.WAYS, broken))
    work = a_work(TINY, CPU)
    with pytest.raises(RecipeError, match=r"^--step: compiled cannot .* \(no compiler\); allowed"):
        Steps("compiled").make(work)
    monkeypatch.setattr(Steps, "_ways", lambda *_: stepping.ON_CUDA)
    steps = Steps()
    for _ in range(2):
        steps.make(work)
    assert steps.used == "eager"
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, "each way is tried once, not at every run"
    assert said[0].startswith("--step: captured cannot be had for baseline (no compiler)")


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("captured", "--step: captured needs a CUDA device, and this is cpu; allowed: auto, eager"),
        ("capture", "--step: capture is no way of stepping; did you mean captured"),
    ],
)
def test_a_way_that_is_not_there_is_refused_early(way: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        stepping.check(way, CPU)


def test_the_operations_of_a_run_are_counted() -> None:
    """A linear layer of 5 x 10: 100 forward and twice that backward, a photograph."""
    work = a_work(TINY, CPU)
    once = stepping.operations(work)
    shown_twice = stepping.operations(replace(work, images=22))
    layer = nn.Linear(5, 10)
    features = work.inputs.of(torch.zeros(11, 5))
    linear = replace(work, model=layer, inputs=features, images=1000)
    assert stepping.operations(linear) == 3 * 2 * 5 * 10 * 1000
    assert shown_twice == 2 * once
    running_mean = next(iter(work.model.buffers()))
    assert not running_mean.any(), "counting does not touch batch norm"


def test_on_a_cpu_nothing_is_compiled_unless_asked_for() -> None:
    steps = Steps()
    steps.make(a_work(TINY, CPU))
    assert steps.used == "eager"


@pytest.fixture
def exact_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@needs_cuda
@pytest.mark.usefixtures("exact_float32")
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("policy", ["none", "standard", "report_jitter", "trivial"])
def test_on_cuda_a_recorded_step_is_the_plain_one(policy: str, optimizer: str) -> None:
    """Bound: losses within 1 % over four steps; other crops or dropout would differ by far more."""
    fields = {**TINY, "optimizer": optimizer, "augment": {"policy": policy, "erase": 0.3}}
    work, plain = a_work(fields, CUDA), a_work(fields, CUDA)
    with Steps("captured_eager") as steps:
        losses = stepped(steps.make(work), work)
    assert losses == pytest.approx(stepped(step.eager(plain), plain), rel=0.01)
    other = a_work(fields, CUDA, init=1)
    assert losses != pytest.approx(stepped(step.eager(other), other), rel=0.01)


@needs_cuda
@pytest.mark.usefixtures("exact_float32")
@pytest.mark.parametrize("model", ["baseline", "custom", "resnet18"])
def test_on_cuda_a_compiled_recording_gives_the_numbers_of_the_plain_step(model: str) -> None:
    """Bound: the first loss within 0.1 %, the second, after an update, within 5 %."""
    fields = {**TINY, "model": model, "augment": {"policy": "standard"}}
    fields["net"] = {"width": 4, "padding": 1, "pool_stride": 1, "dropout": 0.0}
    if model == "resnet18":
        del fields["net"]
    work, plain = a_work(fields, CUDA), a_work(fields, CUDA)
    with Steps("captured") as steps:
        losses = stepped(steps.make(work), work, 2)
    wanted = stepped(step.eager(plain), plain, 2)
    assert losses[0] == pytest.approx(wanted[0], rel=1e-3)
    assert losses[1] == pytest.approx(wanted[1], rel=0.05)


@needs_cuda
@pytest.mark.usefixtures("exact_float32")
@pytest.mark.parametrize("way", ["captured", "captured_eager"])
def test_on_cuda_runs_share_a_recording_that_does_not_wait_for_the_device(way: str) -> None:
    """Dropout draws other numbers when it is compiled, so that there is none."""
    fields = {**TINY, "net": {**TINY["net"], "dropout": 0.0}}
    with Steps(way) as steps:
        work = a_work(fields, CUDA)
        one = steps.make(work)
        stepped(one, work)
        for init in (1, 2):
            work, plain = a_work(fields, CUDA, init), a_work(fields, CUDA, init)
            assert steps.make(work) is one
            losses = stepped(one, work, 2)
            wanted = stepped(step.eager(plain), plain, 2)
            assert losses[0] == pytest.approx(wanted[0], rel=1e-3)
            assert losses[1] == pytest.approx(wanted[1], rel=0.05)
        batch, drawing = work.inputs.batch(torch.arange(6)), torch.Generator("cuda")
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(3):
                optimizers.set_rate(work.optimizer.param_groups, 1e-3)
                one(batch, drawing)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@needs_cuda
def test_on_cuda_a_short_run_is_recorded_and_not_compiled(tmp_path: Path, plates: Dataset) -> None:
    with Steps() as steps:
        made = finished(tmp_path / "recorded", TINY, plates, steps, CUDA)
    assert made["step"] == "captured_eager"
    plain = finished(tmp_path / "plain", TINY, plates, Steps("eager"), CUDA)
    for one, other in zip(made["records"], plain["records"], strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=0.05)


@needs_cuda
def test_on_cuda_a_long_run_is_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepping, "WORTH_COMPILING", 1)
    with Steps() as steps:
        steps.make(a_work(TINY, CUDA))
        assert steps.used == "captured"
