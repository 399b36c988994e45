"""What is logged to TensorBoard, MLflow and W&B, read back with their own readers."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff import files, integrity, store
from bakeoff.elsewhere import Destination, destinations, log_study
from bakeoff.fields import RecipeError
from bakeoff.study import Run, Study, runs

ACCURACIES = (0.25, 0.5, 0.75, 0.5)  # of validation, epoch by epoch
TRACKERS = ("tensorboard", "mlflow", "wandb")
SILU = Path("nets/silu/seed-0")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # MLflow leaves SQLite to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def study() -> Study:
    net = {"model": "baseline", "freeze": ["features.0"], "net": {"width": 4}, "lr": 0.004}
    variants = {"silu": {"net.activation": "silu"}}
    tables = {"nets": {"recipe": net, "variants": variants}}
    return Study.model_validate({"name": "tiny", "question": "Does SiLU help?", "tables": tables})


def records(count: int) -> list[store.Record]:
    return [
        store.Record(
            epoch=number,
            lr=0.004,
            train_loss=2.0 / number,
            train_accuracy=0.125,
            clean_loss=1.0,
            clean_accuracy=0.375,
            clean_images=8,
            validation_loss=1.5,
            validation_accuracy=accuracy,
            seconds=2.0,
            images_per_second=64.0,
        )
        for number, accuracy in enumerate(ACCURACIES[:count], 1)
    ]


def fill(folder: Path, run: Run, state: store.State, epochs: int = 4, **more: Any) -> None:
    """Write a run whose net is right on three of four test photographs."""
    place = folder / run.name
    store.begin(place, run, f"identity of {run.row.variant}")
    store.write_records(place, records(epochs))
    if state != "finished":
        store.write_state(place, run, f"identity of {run.row.variant}", state, **more)
        return
    logits = np.array([[2, 0], [0, 2], [2, 0], [2, 0]], np.float32)
    labels = np.array([0, 1, 1, 0])
    one = store.Predictions(np.array(["a/0", "b/0", "b/1", "a/1"]), labels, logits)
    store.write_predictions(place, {"validation": one, "test": one})
    finished = store.Finished(
        classes=("a", "b"),
        best_epoch=3,
        train_accuracy=0.625,
        train_loss=0.5,
        train_images=8,
        seconds=9.5,
        images_per_second=64.0,
        peak_megabytes=1500.0,
        parameters=1000,
        trainable_parameters=900,
        frozen_unchanged=True,
        test_reads=1,
        **more,
    )
    store.finish(place, run, f"identity of {run.row.variant}", finished)


def made(folder: Path, state: store.State = "finished", **more: Any) -> Path:
    """Write a study of two runs, the second in `state`; with a report's files where finished."""
    base, silu = runs(study())
    store.write_study(folder, study())
    fill(folder, base, "finished")
    fill(folder, silu, state, **more)
    return folder


def reported(folder: Path) -> Path:
    from matplotlib.figure import Figure

    from bakeoff.paper import save

    save(Figure((2, 1)), folder / "report/figures", "curves-nets")
    files.write_text(folder / "report/table.md", "| Variant | Test % |\n|---|---|\n| silu | 75 |\n")
    files.write_text(folder / "report.html", "<p>75 %</p>")
    return folder


def to(folder: Path, *trackers: str) -> tuple[Destination, ...]:
    return destinations(trackers, folder, offline=True)


def of_tensorboard(folder: Path, name: str) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard/tiny" / name), {"images": 0})
    return events.Reload()


def of_mlflow(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return a client of the study's own store and its runs by name."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    by_name = {run.info.run_name: run for run in found}
    assert len(by_name) == len(found), "a run was logged twice"
    return client, by_name


def of_wandb(folder: Path, name: str) -> list[Any]:
    """Read the records that W&B wrote offline for a run, in the order of its sessions."""
    sessions = []
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        session = of_session(path)
        if any(each.run.display_name == name for each in session):
            sessions += session
    return sessions


def of_session(path: Path) -> list[Any]:
    """Read what a session left, once its own process has written the end of it."""
    from wandb.proto.wandb_internal_pb2 import Record

    for _ in range(300):
        session = []
        for data in logged_blocks(path.read_bytes()):
            session.append(Record())
            session[-1].ParseFromString(data)
        if any(each.HasField("exit") for each in session):
            return session
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end")


def logged_blocks(content: bytes) -> Iterator[bytes]:
    """Yield the records of a file in LevelDB's log format, which is that of W&B.

    After a header of 7 bytes come blocks of 32 KiB; in them records, or parts of one, each after
    its checksum (4 bytes), length (2) and kind (1: whole, 2: first, 3: middle, 4: last).
    """
    assert content[:4] == b":W&B"
    place, whole = 7, b""
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


def history(records_: Sequence[Any], key: str) -> list[tuple[int, Any]]:
    """Return (step, value) of what W&B was told under `key`."""
    rows = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in each}
        for each in (record.history.item for record in records_ if record.HasField("history"))
    ]
    return [(row["trainer/global_step"], row[key]) for row in rows if key in row]


def seen(folder: Path, tracker: str, name: str, key: str) -> list[tuple[int, Any]]:
    """Return (step, value) of a metric of a run, as `tracker` has it."""
    if tracker == "tensorboard":
        return [(each.step, each.value) for each in of_tensorboard(folder, name).Scalars(key)]
    if tracker == "mlflow":
        client, found = of_mlflow(folder)
        metrics = client.get_metric_history(found[name].info.run_id, key)
        return [(each.step, each.value) for each in metrics]
    return history(of_wandb(folder, name), key)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_the_same_records_and_nothing_twice(tmp_path: Path, tracker: str) -> None:
    folder = reported(made(tmp_path / "tiny"))
    assert log_study(folder, to(folder, tracker)) == 0
    for variant in ("base", "silu"):
        name = f"nets/{variant}/seed-0"
        for field in set(asdict(records(1)[0])) - {"epoch"}:
            expected = [(each.epoch, pytest.approx(getattr(each, field))) for each in records(4)]
            assert seen(folder, tracker, name, field) == expected, field
        for field, value in (
            ("test_accuracy", 0.75),
            ("test_loss", pytest.approx((3 * 0.126928 + 2.126928) / 4, abs=1e-6)),  # ln(1 + e^∓2)
            ("best_epoch", 3),
            ("best_validation_accuracy", 0.75),
            ("best_train_accuracy", 0.625),
            ("run_seconds", 9.5),
            ("trainable_parameters", 900),
        ):
            assert seen(folder, tracker, name, field) == [(4, value)], field
    before = {path: path.stat().st_mtime_ns for path in kept(folder, tracker)}
    assert before
    assert log_study(folder, to(folder, tracker)) == 0
    if tracker == "mlflow":
        assert len(of_mlflow(folder)[1]) == 3
    else:
        assert before == {path: path.stat().st_mtime_ns for path in kept(folder, tracker)}


def kept(folder: Path, tracker: str) -> list[Path]:
    names = {"tensorboard": "events*", "mlflow": "mlflow.db", "wandb": "*.wandb"}
    return list((folder / tracker).rglob(names[tracker]))


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_resumed_run_goes_on_where_it_was(tmp_path: Path, tracker: str) -> None:
    folder = made(tmp_path / "tiny", "interrupted", epochs=3)
    where, name = to(folder, tracker), str(SILU)
    log_study(folder, where)
    assert [step for step, _ in seen(folder, tracker, name, "lr")] == [1, 2, 3]
    if tracker == "mlflow":
        assert of_mlflow(folder)[1][name].info.status == "KILLED"
    _, silu = runs(study())
    fill(folder, silu, "interrupted", epochs=2)  # from a checkpoint before the last epoch
    log_study(folder, where)
    fill(folder, silu, "finished")
    log_study(folder, where)
    expected = list(zip((1, 2, 3, 4), ACCURACIES, strict=True))
    assert seen(folder, tracker, name, "validation_accuracy") == expected
    assert seen(folder, tracker, name, "test_accuracy") == [(4, 0.75)]
    if tracker == "mlflow":
        assert of_mlflow(folder)[1][name].info.status == "FINISHED"
    if tracker == "wandb":
        sessions = of_wandb(folder, name)
        assert len({each.run.run_id for each in sessions if each.HasField("run")}) == 1
        assert history(sessions, "_step") == [(1, 1), (2, 2), (3, 3), (4, 4), (4, 5)]


def test_tensorboard_shows_recipes_changes_figures_and_tables(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from tensorboard.util.tensor_util import make_ndarray

    folder = reported(made(tmp_path / "tiny"))
    log_study(folder, to(folder, "tensorboard"))
    events = of_tensorboard(folder, str(SILU))
    assert set(events.Tags()["images"]) == {"curves", "confusion"}
    png = events.Images("confusion")[0].encoded_image_string
    assert png.startswith(b"\x89PNG")
    (text,) = make_ndarray(events.Tensors("tags/text_summary")[0].tensor_proto)
    assert "| change | net.activation relu → silu |" in text.decode()
    assert "| identity | identity of silu |" in text.decode()
    told = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    hparams = HParamsPluginData.FromString(told).session_start_info.hparams
    assert hparams["net.activation"].string_value == "silu"
    assert hparams["lr"].number_value == 0.004
    assert hparams["freeze"].string_value == '["features.0"]'
    report = of_tensorboard(folder, "report")
    assert report.Tags()["images"] == ["curves-nets"]
    (text,) = make_ndarray(report.Tensors("table/text_summary")[0].tensor_proto)
    assert "| silu | 75 |" in text.decode()
    files.write_text(folder / "report/table.md", "| silu | 76 |")
    log_study(folder, to(folder, "tensorboard"))
    report = of_tensorboard(folder, "report")
    assert [each.step for each in report.Images("curves-nets")] == [1, 2], "it changed"


def test_mlflow_has_the_study_as_experiment_with_artifacts(tmp_path: Path) -> None:
    folder = reported(made(tmp_path / "tiny"))
    log_study(folder, to(folder, "mlflow"))
    client, found = of_mlflow(folder)
    assert set(found) == {"nets/base/seed-0", "nets/silu/seed-0", "report"}
    run = found["nets/silu/seed-0"]
    assert run.info.status == "FINISHED"
    assert run.data.params["net.activation"] == "silu"
    assert run.data.params["lr"] == "0.004"
    ours = {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")}
    assert ours == {
        "study": "tiny",
        "table": "nets",
        "variant": "silu",
        "seed": "0",
        "change": "net.activation relu → silu",
        "identity": "identity of silu",
    }
    assert found["nets/base/seed-0"].data.tags["change"] == "base"
    paths = [each.path for each in client.list_artifacts(run.info.run_id, "figures")]
    assert paths == ["figures/confusion.png", "figures/curves.png"]
    report = found["report"].info.run_id
    paths = [each.path for each in client.list_artifacts(report)]
    assert paths == ["figures", "report.html", "table.md"]
    assert found["report"].data.tags["question"] == "Does SiLU help?"
    assert not list(Path.cwd().glob("mlruns")), "nothing is left where the command was called"
    assert "MLFLOW_TRACKING_URI" not in os.environ, "it would decide for the next study"


def test_wandb_offline_has_the_study_as_project_and_variants_as_groups(tmp_path: Path) -> None:
    folder = reported(made(tmp_path / "tiny"))
    log_study(folder, to(folder, "wandb"))
    sessions = of_wandb(folder, str(SILU))
    (run,) = [each.run for each in sessions if each.HasField("run")][:1]
    assert (run.project, run.run_group) == ("tiny", "nets/silu")
    config = {}
    for update in (run.config, *(each.config for each in sessions if each.HasField("config"))):
        config |= {item.key or "/".join(item.nested_key): item.value_json for item in update.update}
    assert json.loads(config["net.activation"]) == "silu"
    assert json.loads(config["identity"]) == "identity of silu"
    ((step, picture),) = history(sessions, "confusion/filenames")
    assert step == 4
    assert picture[0].endswith(".png")
    ((_, page),) = history(of_wandb(folder, "report"), "report/path")
    html = next(folder.glob(f"wandb/offline-run-*/files/{page}"))
    assert html.read_text() == "<p>75 %</p>"


def test_failures_and_second_attempts_are_told_apart(tmp_path: Path) -> None:
    folder = made(tmp_path / "tiny", "failed", epochs=1, error="the loss became nan")
    where = to(folder, "mlflow")
    log_study(folder, where)
    assert of_mlflow(folder)[1][str(SILU)].info.status == "FAILED"
    _, silu = runs(study())
    fill(folder, silu, "finished", fp32_because="the loss became nan at step 3 in bf16")
    log_study(folder, where)
    client, found = of_mlflow(folder)
    assert found[str(SILU)].info.status == "FAILED"
    again = found[f"{SILU}-fp32"]
    assert again.info.status == "FINISHED"
    assert len(client.get_metric_history(again.info.run_id, "lr")) == 4


def test_what_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    folder = made(tmp_path / "tiny", "running", epochs=2)
    with files.alone(files.lock_of(folder / SILU), wait=False):
        log_study(folder, to(folder, "tensorboard"))
    assert not (folder / "tensorboard/tiny" / SILU).exists()
    assert (folder / "tensorboard/tiny/nets/base/seed-0").is_dir()
    log_study(folder, to(folder, "tensorboard"))
    assert [step for step, _ in seen(folder, "tensorboard", str(SILU), "lr")] == [1, 2]


@pytest.mark.parametrize("memory", ["", "[]", '{"tensorboard": {"step": "many"}}'])
def test_a_damaged_memory_is_none(tmp_path: Path, memory: str) -> None:
    folder = made(tmp_path / "tiny")
    (folder / SILU / "elsewhere.json").write_text(memory)
    assert log_study(folder, to(folder, "tensorboard")) == 0
    assert len(seen(folder, "tensorboard", str(SILU), "lr")) == 4


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow"])
def test_what_was_removed_is_logged_again(tmp_path: Path, tracker: str) -> None:
    folder = reported(made(tmp_path / "tiny"))
    code = (
        "import sys; from pathlib import Path; from bakeoff.elsewhere import *; "
        "folder = Path(sys.argv[1]); log_study(folder, destinations(sys.argv[2:], folder))"
    )  # another process: this one's MLflow would believe its tables to be there still
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(folder), tracker], check=True)
    assert kept(folder, tracker)
    shutil.rmtree(folder / tracker)
    assert log_study(folder, to(folder, tracker)) == 0
    for name in ("nets/base/seed-0", str(SILU)):
        assert [step for step, _ in seen(folder, tracker, name, "lr")] == [1, 2, 3, 4]


def test_a_run_that_was_logged_is_still_whole(tmp_path: Path) -> None:
    folder = made(tmp_path / "tiny")
    log_study(folder, to(folder, "tensorboard"))
    assert integrity.damage(folder / SILU) == ""
    assert integrity.state(folder / SILU, "identity of silu") == "finished"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("tensorbord", r"--log: tensorbord is not allowed; did you mean tensorboard\?"),
        ("", "--log: nothing is not allowed; allowed: tensorboard, mlflow, wandb"),
        ("comet=x", "--log: comet is not allowed"),
    ],
)
def test_an_unknown_tracker_is_refused(tmp_path: Path, asked: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        destinations([asked], tmp_path)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_what_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, tracker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bakeoff.elsewhere.places.find_spec", lambda _name: None)
    with pytest.raises(RecipeError) as refused:
        destinations([tracker], tmp_path)
    said = f"--log {tracker}: {tracker} is not installed; pip install 'bakeoff[{tracker}]'"
    assert str(refused.value) == said


def test_wandb_without_a_key_is_refused_before_it_would_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(RecipeError, match="not logged in; run `wandb login` first, or add --off"):
        destinations(["wandb"], tmp_path)
    assert destinations(["wandb"], tmp_path, offline=True)[0].place == str(tmp_path)


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    board, flow = destinations(["tensorboard", "mlflow"], tmp_path)
    assert board.place == str(tmp_path / "tensorboard")
    assert flow.place == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    flow, other = destinations(["mlflow", "mlflow=sqlite:///all.db"], tmp_path)
    assert (flow.place, other.place) == ("http://localhost:5000", "sqlite:///all.db")
    assert destinations(["tensorboard=/logs"], tmp_path)[0].place == "/logs"


STUDY = """
name: tiny
data: {source: plates, per_class: 4, validation: 0.5}
recipe: {model: baseline, size: 32, net: {width: 4, padding: 1}, epochs: 2, precision: fp32}
tables: {small: {base: plain, variants: {silu: {net.activation: silu}}}}
"""


def call(folder: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bakeoff", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_server_that_is_down_costs_one_warning_and_no_training(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    down = "mlflow=http://127.0.0.1:9"
    said = call(tmp_path, "run", "tiny.yaml", "--log", "tensorboard", "--log", down)
    (warning,) = [line for line in said.splitlines() if "127.0.0.1" in line]
    assert "`bakeoff report runs/tiny --log mlflow=http://127.0.0.1:9` logs what is miss" in warning
    folder = tmp_path / "runs/tiny"
    for name in ("small/plain/seed-0", "small/silu/seed-0"):
        with (folder / name / "records.jsonl").open() as lines:
            expected = [json.loads(line)["validation_accuracy"] for line in lines]
        logged = seen(folder, "tensorboard", name, "validation_accuracy")
        assert logged == [(1, pytest.approx(expected[0])), (2, pytest.approx(expected[1]))]
    assert "curves-small" in of_tensorboard(folder, "report").Tags()["images"]
    call(tmp_path, "report", "runs/tiny", "--log", down, code=1)
    events = sorted(folder.rglob("events*"))
    call(tmp_path, "run", "tiny.yaml", "--log", "tensorboard")
    assert sorted(folder.rglob("events*")) == events, "finished runs are not logged again"
    call(tmp_path, "run", "tiny.yaml", "--out", "silent")
    for name in ("small/plain/seed-0", "small/silu/seed-0"):
        with (
            np.load(folder / name / "predictions.npz") as watched,
            np.load(tmp_path / "silent/tiny" / name / "predictions.npz") as alone,
        ):
            assert (watched["test_logits"] == alone["test_logits"]).all()


def test_an_unknown_tracker_stops_a_command_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    said = call(tmp_path, "run", "tiny.yaml", "--log", "mlfow", code=2)
    assert "did you mean mlflow?" in said
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]
