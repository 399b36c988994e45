"""Interrupted, damaged, starved: what a study folder holds is whole, or is made again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bakeoff import features, files, integrity, loop, scores, step, store
from bakeoff.data.photographs import DataError
from bakeoff.execute import Ended, Event, execute
from bakeoff.fields import RecipeError
from bakeoff.inputs import Batch
from bakeoff.settings import Settings
from bakeoff.study import Study, runs

STUDY: dict[str, Any] = {
    "name": "tiny",
    "data": {"source": "plates", "per_class": 6, "validation": 0.5},
    "recipe": {
        "model": "baseline", "size": 32, "net": {"width": 4, "padding": 1, "dropout": 0.2},
        "augment": {"policy": "standard", "mixup": 0.2}, "schedule": "cosine", "patience": 2,
        "epochs": 3, "batch": 8, "precision": "fp32",
    },
    "tables": {"t": {"base": "b", "variants": {"v": {"net.activation": "silu"}}}},
}  # fmt: skip
CLOCKS = ("seconds", "images_per_second")
FIRST = "t/b/seed-0"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _quick(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the photographs once, and no maps."""
    monkeypatch.setenv("BAKEOFF_CACHE", str(cache))

    def no_maps(folder: Path, *_: object, **__: object) -> None:
        (folder / "maps.npz").touch()

    monkeypatch.setattr("bakeoff.explain.keep.keep_run_maps", no_maps)


def study(**recipe: Any) -> Study:
    return Study.model_validate({**STUDY, "recipe": {**STUDY["recipe"], **recipe}})


def carried_out(
    folder: Path, progress: Callable[[str, int, int], None] | None = None, **recipe: Any
) -> list[Event]:
    asked = study(**recipe)
    return list(execute(asked, runs(asked), folder, Settings(offline=True), progress))


def errors(events: list[Event]) -> list[str]:
    return [event.error for event in events if isinstance(event, Ended)]


def content(run: Path) -> list[Any]:
    """Return what of a run must not depend on its history."""
    lines = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    records = [{k: v for k, v in line.items() if k not in CLOCKS} for line in lines]
    with np.load(run / "predictions.npz", allow_pickle=False) as arrays:
        logits = {name: arrays[name].tobytes() for name in sorted(arrays)}
    return [records, logits, (run / "model/model.safetensors").read_bytes()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """Return a finished study, to be copied or held against."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(cache))
        patch.setattr("bakeoff.explain.keep.keep_run_maps", lambda *_, **__: None)
        folder = tmp_path_factory.mktemp("whole") / "tiny"
        carried_out(folder)
    return folder


class Stop:
    """Progress that interrupts at the n-th step."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, what: str, *_: int) -> None:
        if what.startswith("epoch"):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


@pytest.mark.parametrize("at", [1, 3, 4, 9, 14])
def test_interrupted_between_any_two_steps_it_goes_on_bit_for_bit(
    tmp_path: Path, whole: Path, at: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        carried_out(tmp_path, Stop(at))
    stopped = next(run for run in tmp_path.glob("t/*/seed-0") if (run / "resume.pt").is_file())
    assert json.loads((stopped / "run.json").read_text())["state"] == "interrupted"
    carried_out(tmp_path)
    for name in (FIRST, "t/v/seed-0"):
        assert content(tmp_path / name) == content(whole / name)
        assert not (tmp_path / name / "resume.pt").exists()


def test_interrupted_in_a_step_the_last_checkpoint_stands(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        carried_out(tmp_path, Stop(3))
    before = (tmp_path / FIRST / "resume.pt").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(loop.Inputs, "drawn", _interrupted_at(loop.Inputs.drawn, 2))
        with pytest.raises(KeyboardInterrupt):
            carried_out(tmp_path)
    assert (tmp_path / FIRST / "resume.pt").read_bytes() == before
    carried_out(tmp_path)
    assert content(tmp_path / FIRST) == content(whole / FIRST)


def _interrupted_at(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    calls = 0

    def called(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            raise KeyboardInterrupt
        return function(*arguments)

    return called


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "torn": lambda data: data[: len(data) // 2],
    "one bit": lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
    "foreign": lambda _: b'{"state": "finished"}\n',
}


def damage(path: Path, how: str) -> None:
    path.write_bytes(DAMAGES[how](path.read_bytes()))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_not_used(
    tmp_path: Path, whole: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        carried_out(tmp_path, Stop(3))
    damage(tmp_path / FIRST / "resume.pt", how)
    carried_out(tmp_path)
    assert f"{FIRST}/resume.pt is damaged" in caplog.text
    assert content(tmp_path / FIRST) == content(whole / FIRST)


def test_a_checkpoint_of_an_earlier_version_is_gone_on_with(
    tmp_path: Path, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It kept no mean of the weights, one state for dropout, and how many were right in all."""
    with pytest.raises(KeyboardInterrupt):
        carried_out(tmp_path, Stop(2))
    path = tmp_path / FIRST / "resume.pt"
    kept = torch.load(path, weights_only=True)
    now = kept["under_way"]
    assert now["step"] == 2 < len(now["right"])
    now |= {"right": now["right"].sum(), "dropout": now["dropout"][0].clone()}
    del kept["average"]
    torch.save(kept, path)
    data = path.read_bytes()
    path.write_bytes(data + hashlib.sha256(data).digest())
    carried_out(tmp_path)
    assert "begins anew" not in caplog.text
    assert content(tmp_path / FIRST) == content(whole / FIRST)


def test_a_checkpoint_of_another_run_is_named_and_not_used(
    tmp_path: Path, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        carried_out(tmp_path / "other", Stop(3), lr=0.1)
    shutil.copytree(whole, tmp_path / "tiny")
    (tmp_path / "tiny" / FIRST / "predictions.npz").unlink()
    shutil.copy(tmp_path / "other" / FIRST / "resume.pt", tmp_path / "tiny" / FIRST)
    carried_out(tmp_path / "tiny")
    assert "resume.pt is of another run" in caplog.text
    assert content(tmp_path / "tiny" / FIRST) == content(whole / FIRST)


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", [name for name in integrity.CHECKED if name != "rates.json"])
def test_a_damaged_file_of_a_finished_run_is_named_and_made_again(
    tmp_path: Path, whole: Path, name: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(whole, folder)
    damage(folder / FIRST / name, how)
    if name == "predictions.npz":
        states = {run.variant: scores.score(run).state for run in store.read_runs(folder)}
        assert states == {"b": "failed", "v": "finished"}
    events = carried_out(folder)
    assert f"{FIRST}: {name} is damaged; it is run again" in caplog.text
    assert [event.reused for event in events if isinstance(event, Ended)] == [False, True]
    assert content(folder / FIRST) == content(whole / FIRST)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_run_json_sets_the_folder_aside(
    tmp_path: Path, whole: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(whole, folder)
    damage(folder / FIRST / "run.json", how)
    if how == "foreign":
        with pytest.raises(RecipeError, match="holds a run on other photographs"):
            carried_out(folder)
        return
    states = {run.variant: run.state for run in store.read_runs(folder)}
    assert states == {"b": "failed", "v": "finished"}
    assert not any(errors(carried_out(folder)))
    assert "kept as damaged-seed-0-1, run again" in caplog.text
    assert (folder / "t/b/damaged-seed-0-1/predictions.npz").is_file()
    assert content(folder / FIRST) == content(whole / FIRST)


def test_runs_of_before_the_best_epoch_was_put_back_are_found(tmp_path: Path, whole: Path) -> None:
    """Without checksums, logits that disagree with the chosen epoch's record are not believed."""
    folder = tmp_path / "tiny"
    shutil.copytree(whole, folder)
    path = folder / FIRST / "run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in run.items() if k not in ("files", "checksum")}))
    assert integrity.damage(folder / FIRST) == ""
    lines = (folder / FIRST / "records.jsonl").read_text().splitlines()
    records = [{**json.loads(line), "validation_accuracy": 0.99} for line in lines]
    (folder / FIRST / "records.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert "not of the chosen epoch" in integrity.damage(folder / FIRST)


def test_foreign_folders_and_leftovers_do_no_harm(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(whole, folder)
    (folder / "t/b/seed-x").mkdir()
    (folder / "t/b/seed-7").write_text("a file")
    (folder / FIRST / ".run.json.abc.partial").write_text("{")
    (folder / FIRST / "predictions.npz").unlink()
    (folder / "study.yaml").write_text("torn: [")
    with pytest.raises(RecipeError, match=r"study.yaml: this is not YAML"):
        store.read_runs(folder)
    carried_out(folder)
    assert [run.seed for run in store.read_runs(folder)] == [0, 0]
    assert not list(folder.rglob("*.partial"))


def test_a_full_disk_fails_runs_in_a_sentence_and_the_rest_goes_on_later(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 16:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        said = errors(carried_out(tmp_path / "tiny"))
    assert "No space left on device" in said[0]
    assert not list((tmp_path / "tiny").rglob("*.partial"))
    assert not any(errors(carried_out(tmp_path / "tiny")))
    assert content(tmp_path / "tiny" / FIRST) == content(whole / FIRST)


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(store, "write_text", read_only)
    with pytest.raises(RecipeError, match="cannot be written to: Read-only file system"):
        carried_out(tmp_path / "tiny")


def test_a_removed_data_set_is_said_and_its_runs_stay(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            Image.effect_noise((40, 40), 90).save(tmp_path / "photos" / name / f"{number}.png")
    source = {"source": str(tmp_path / "photos"), "validation": 0.4}
    asked = Study.model_validate({**STUDY, "data": source})
    assert not any(errors(list(execute(asked, runs(asked), tmp_path / "tiny", Settings()))))
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(DataError, match="does not exist"):
        list(execute(asked, runs(asked), tmp_path / "tiny", Settings()))
    assert {run.state for run in store.read_runs(tmp_path / "tiny")} == {"finished"}


def test_a_clock_that_goes_backwards_changes_nothing(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 2e9

    def backwards() -> float:
        nonlocal now
        now -= 3600
        return now

    monkeypatch.setattr(time, "time", backwards)
    monkeypatch.setattr(time, "time_ns", lambda: int(backwards() * 1e9))
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / "cache"))
    carried_out(tmp_path / "tiny")
    assert content(tmp_path / "tiny" / FIRST) == content(whole / FIRST)
    assert json.loads((tmp_path / "tiny" / FIRST / "run.json").read_text())["seconds"] > 0


def test_a_run_that_another_process_has_is_waited_for_last(tmp_path: Path) -> None:
    lock = files.alone(tmp_path / "t/b/.seed-0.lock", wait=False)
    assert lock.__enter__()

    def waiting(what: str, *_: int) -> None:
        if what.startswith("waiting"):
            assert FIRST in what
            lock.__exit__(None, None, None)

    events = carried_out(tmp_path, waiting)
    ended = [event.run.row.variant for event in events if isinstance(event, Ended)]
    assert ended == ["v", "b"]


def _not_a_number(where: Callable[[Any, int], bool]) -> Callable[..., step.Step]:
    """Return a maker of steps whose loss is NaN where `where`(fabric, call) says so."""
    real, calls = step.eager, 0

    def eager(work: step.Work) -> step.Step:
        one_step = real(work)

        def spoiled(batch: Batch, drawing: torch.Generator) -> Any:
            nonlocal calls
            calls += 1
            loss, right = one_step(batch, drawing)
            return (loss * torch.nan if where(work.fabric, calls) else loss), right

        return spoiled

    return eager


def test_a_loss_that_is_no_number_in_bf16_is_answered_once_in_fp32(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_bf16(fabric: Any, call: int) -> bool:
        return "bf16" in str(fabric._precision.precision) and call == 6

    monkeypatch.setattr(step, "eager", _not_a_number(in_bf16))
    assert not any(errors(carried_out(tmp_path, precision="bf16")))
    run = json.loads((tmp_path / FIRST / "run.json").read_text())
    assert run["fp32_because"] == "the loss became nan at step 2 of epoch 2 in bf16"
    assert run["environment"]["precision"] == "fp32"
    first, _ = store.read_runs(tmp_path)
    assert scores.score(first).note == f"trained again in fp32: {run['fp32_because']}"
    assert content(tmp_path / FIRST) == content(whole / FIRST)


def test_a_loss_that_is_no_number_in_fp32_fails_and_keeps_the_best_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "eager", _not_a_number(lambda _, call: call == 6))
    said = errors(carried_out(tmp_path))
    assert said[0] == (
        "the loss became nan at step 2 of epoch 2: try a smaller lr; "
        "epoch 1, the best before, is kept in model/"
    )
    assert said[1] == ""
    assert (tmp_path / FIRST / "model/model.safetensors").is_file()
    first, _ = store.read_runs(tmp_path)
    assert (first.state, len(first.records)) == ("failed", 1)
    assert scores.score(first).note == said[0]


def test_an_exception_nobody_thought_of_fails_one_run_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any, call: int) -> bool:
        if call == 2:
            raise LookupError("nobody thought of this")
        return False

    monkeypatch.setattr(step, "eager", _not_a_number(broken))
    said = errors(carried_out(tmp_path))
    assert said == ["LookupError: nobody thought of this", ""]
    run = json.loads((tmp_path / FIRST / "run.json").read_text())
    assert (run["state"], run["error"]) == ("failed", said[0])
    assert "nobody thought of this" in run["traceback"]
    assert not any(errors(carried_out(tmp_path)))


def test_torn_features_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    assert features._kept(path, 4) is None
    np.save(path, np.ones((4, 3), np.float32))
    assert torch.equal(features._kept(path, 4), torch.ones(4, 3))
    assert features._kept(path, 5) is None
    for how in ("empty", "torn", "foreign"):
        np.save(path, np.ones((4, 3), np.float32))
        damage(path, how)
        assert features._kept(path, 4) is None, how


def test_maps_that_a_kill_prevented_are_made_up_for(tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path / "tiny")
    assert not list((tmp_path / "tiny").rglob("maps.npz"))
    events = carried_out(tmp_path / "tiny")
    assert all(event.reused for event in events if isinstance(event, Ended))
    assert len(list((tmp_path / "tiny").rglob("maps.npz"))) == 2


def test_maps_that_cannot_be_made_do_not_cost_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("bakeoff.explain.keep.keep_run_maps", broken)
    assert errors(carried_out(tmp_path)) == ["", ""]
    assert "no maps could be kept: ZeroDivisionError" in caplog.text
