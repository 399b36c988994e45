"""Rows that do not fit are read ahead: the same batches, and no thread left behind."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bakeoff import inputs as entering
from bakeoff import machine, streaming
from bakeoff import run as running
from bakeoff.data.dataset import load
from bakeoff.data.spec import DataSpec
from bakeoff.inputs import NO_AUGMENT, Inputs, from_pixels
from bakeoff.models import zoo
from bakeoff.recipe import parse
from bakeoff.study import Row, Run

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "model": "baseline",
    "net": {"width": 4, "padding": 1},
    "size": 16,
    "precision": "fp32",
    "epochs": 2,
    "batch": 16,
    "augment.policy": "none",
}


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing fit."""
    monkeypatch.setattr(entering, "free_bytes", lambda _: 1000.0)


def an_inputs(where: torch.device = CPU) -> Inputs:
    """Return 40 photographs of 4 x 4 pixels, each of one level: its own number."""
    pixels = (
        np.zeros((40, 4, 4, 3), dtype=np.uint8) + np.arange(40, dtype=np.uint8)[:, None, None, None]
    )
    recipe = parse({**TINY, "size": 16})
    net = zoo.build(recipe, 10)
    return from_pixels(pixels, np.arange(40) % 10, net, 10, 4, NO_AUGMENT, where)


def shown(inputs: Inputs, order: list[torch.Tensor]) -> list[tuple[list[int], list[int]]]:
    with streaming.in_order(inputs, order) as stream:
        return [(batch.rows[:, 0, 0, 0].tolist(), batch.labels.tolist()) for batch in stream]


def interrupted(inputs: Inputs, order: list[torch.Tensor]) -> None:
    with streaming.in_order(inputs, order) as stream:
        next(stream)
        assert threads()
        raise KeyboardInterrupt


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(streaming.THREAD)]


def test_what_fits_is_not_streamed() -> None:
    assert not an_inputs().streamed


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_the_batches_are_those_asked_for_in_their_order(steps: int) -> None:
    inputs = an_inputs()
    assert inputs.streamed
    order = list(torch.randperm(40, generator=torch.Generator().manual_seed(0)).tensor_split(steps))
    assert shown(inputs, order) == [
        (rows.tolist(), [row % 10 for row in rows.tolist()]) for rows in order
    ]
    assert shown(inputs, []) == []
    assert not threads()


@pytest.mark.usefixtures("small_memory")
def test_the_next_batch_is_read_while_the_step_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    third = threading.Event()
    original = streaming._Reader.read

    def watched(self: Any, indices: torch.Tensor, place: int) -> Any:
        if int(indices[0]) == 20:
            third.set()
        return original(self, indices, place)

    monkeypatch.setattr(streaming._Reader, "read", watched)
    order = list(torch.arange(40).split(10))
    with streaming.in_order(an_inputs(), order) as stream:
        next(stream)
        second = next(stream)
        assert third.wait(30), "the third is not read before it is asked for"
        assert second.rows[:, 0, 0, 0].tolist() == list(range(10, 20))


@pytest.mark.usefixtures("small_memory")
def test_no_thread_is_left_after_an_exception_on_either_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs, order = an_inputs(), list(torch.arange(40).split(10))
    with pytest.raises(KeyboardInterrupt):
        interrupted(inputs, order)
    assert not threads()
    monkeypatch.setattr(
        streaming._Reader, "read", lambda *_: (_ for _ in ()).throw(OSError("disk"))
    )
    with pytest.raises(OSError, match="disk"):
        shown(inputs, order)
    assert not threads()


def test_a_run_whose_photographs_do_not_fit_is_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plates = load(DataSpec(source="plates", per_class=10, validation=0.3), 16)
    row = Row("t", "v", parse({**TINY, "augment.policy": "standard"}), {}, is_base=True)
    run = Run(row, 0, {"split": 42, "init": 0, "order": 0, "augmentation": 0})
    list(running.run(tmp_path / "fits", run, plates, CPU))
    monkeypatch.setattr(entering, "free_bytes", lambda _: 1000.0)
    read: list[int] = []
    original = streaming._Reader.read

    def watched(self: Any, indices: torch.Tensor, place: int) -> Any:
        read.append(len(indices))
        return original(self, indices, place)

    monkeypatch.setattr(streaming._Reader, "read", watched)
    list(running.run(tmp_path / "streamed", run, plates, CPU))
    assert sum(read) == 2 * (70 + 30 + 30) + 30 + 500, "epochs, then validation and test"
    lines = [
        [json.loads(line) for line in (tmp_path / name / "records.jsonl").read_text().splitlines()]
        for name in ("fits", "streamed")
    ]
    for one, other in zip(*lines, strict=True):
        assert {**one, "seconds": 0, "images_per_second": 0} == {
            **other, "seconds": 0, "images_per_second": 0,
        }  # fmt: skip
    fits = load_file(tmp_path / "fits" / "model" / "model.safetensors")
    for name, tensor in load_file(tmp_path / "streamed" / "model" / "model.safetensors").items():
        assert torch.equal(tensor, fits[name]), name


def test_free_memory_is_counted_in_bytes() -> None:
    assert machine.free_bytes(CPU) > 2**20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.usefixtures("small_memory")
def test_on_cuda_batches_come_from_pinned_buffers_in_their_order() -> None:
    inputs = an_inputs(torch.device("cuda"))
    assert inputs.streamed
    assert inputs.rows.device.type == "cpu"
    order = [rows.clone() for rows in torch.randperm(40).repeat(25).split(8)]
    with streaming.in_order(inputs, order) as stream:
        sums = []
        for batch in stream:
            assert batch.rows.is_cuda
            torch.cuda._sleep(1_000_000)  # the step is slower than the reading
            sums.append(batch.rows[:, 0, 0, 0].long())
    assert [each.tolist() for each in sums] == [each.tolist() for each in order]
