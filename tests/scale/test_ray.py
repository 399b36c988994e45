"""Runs on a real Ray cluster of several nodes: whatever dies there, the folders are as if here."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18
from typer.testing import CliRunner

from bakeoff import cluster as anywhere
from bakeoff import execute as executing
from bakeoff import store
from bakeoff.cli import app
from bakeoff.events import Ended, Event, Measured, Started
from bakeoff.fields import RecipeError
from bakeoff.settings import Cluster, Settings
from bakeoff.study import Study, runs

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs bakeoff[ray]")
from ray.exceptions import LocalRayletDiedError  # noqa: E402

from bakeoff.cluster import driver, giving, session, worker  # noqa: E402
from bakeoff.cluster.giving import Over, Task  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
STUDY: dict[str, Any] = {
    "name": "tiny",
    "data": {"source": "plates", "per_class": 6, "validation": 0.5},
    "recipe": {
        "model": "baseline", "size": 32, "net": {"width": 4, "padding": 1, "dropout": 0.2},
        "augment": {"policy": "standard", "mixup": 0.2}, "schedule": "cosine",
        "epochs": 24, "batch": 8, "precision": "fp32",
    },
    "tables": {"t": {"base": "b", "variants": {
        "v": {"net.activation": "silu"}, "w": {"label_smoothing": 0.1},
    }}},
}  # fmt: skip
NAMES = ("t/b/seed-0", "t/v/seed-0", "t/w/seed-0")
CLOCKS = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the cache of driver and nodes; torch has one thread, as runs have there."""
    folder = tmp_path_factory.mktemp("cluster")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(folder / "cache"))
        torch.set_num_threads(1)
        yield folder
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cluster(place: Path) -> Iterator[Any]:
    """Two nodes of one CPU each, and this process a driver of theirs."""
    nodes = cluster_utils.Cluster(
        initialize_head=True, head_node_args={**NODE, "include_dashboard": False}
    )
    with session.connected(Cluster(nodes.address)):  # to the head, which nobody here kills
        nodes.add_node(**NODE)
        yield nodes
    nodes.shutdown()


@pytest.fixture(autouse=True)
def _same_cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_CACHE", str(place / "cache"))


def study(**recipe: Any) -> Study:
    return Study.model_validate({**STUDY, "recipe": {**STUDY["recipe"], **recipe}})


def on_ray(cluster: Any, folder: Path, asked: Study | None = None) -> Iterator[Event]:
    asked = asked or study()
    settings = Settings(offline=True, cluster=Cluster(cluster.address))
    return anywhere.execute(asked, runs(asked), folder, settings)


def here(folder: Path, asked: Study | None = None) -> list[Event]:
    asked = asked or study()
    return list(anywhere.execute(asked, runs(asked), folder, Settings("cpu", offline=True)))


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """The study, carried out here."""
    here(place / "whole")
    return place / "whole"


def content(run: Path) -> dict[str, Any]:
    """Return what of a run must not depend on where it was made."""
    lines = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    state = json.loads((run / "run.json").read_text())
    kept: dict[str, Any] = {
        "files": sorted(path.relative_to(run).as_posix() for path in run.rglob("*")),
        "records": [{k: v for k, v in line.items() if k not in CLOCKS} for line in lines],
        "model": (run / "model/model.safetensors").read_bytes(),
        "run": {name: state[name] for name in ("state", "identity", "best_epoch", "at_once")},
    }
    for archive in run.glob("*.npz"):
        with np.load(archive, allow_pickle=False) as arrays:
            kept |= {f"{archive.name} {name}": arrays[name].tobytes() for name in arrays}
    return kept


def is_whole(folder: Path, like: Path, names: tuple[str, ...] = NAMES) -> bool:
    left = [path.name for path in folder.glob("*") if path.name in (worker.MARK, "tiny")]
    return not left and all(content(folder / name) == content(like / name) for name in names)


def ends(events: list[Event]) -> dict[str, tuple[bool, str]]:
    return {e.run.name: (e.reused, e.error) for e in events if isinstance(e, Ended)}


def workers(node: Any) -> list[int]:
    """The processes on a node that carry a run out."""
    raylet = str(node.all_processes["raylet"][0].process.pid)
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            title, parent = (path / "cmdline").read_bytes(), (path / "stat").read_text()
        except OSError:
            continue
        if title.startswith(b"ray::carry_out") and parent.rpartition(")")[2].split()[1] == raylet:
            found.append(int(path.name))
    return found


@pytest.mark.parametrize("shared", [True, False])
def test_on_a_cluster_folders_are_bit_for_bit_as_here(
    tmp_path: Path, place: Path, cluster: Any, whole: Path, shared: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Also where nodes do not see the driver's folder: then it is the driver that fills it."""
    if not shared:
        monkeypatch.setattr(driver, "_marked", lambda _: nullcontext())
    events = list(on_ray(cluster, tmp_path))
    assert ends(events) == dict.fromkeys(NAMES, (False, ""))
    for kind, count in ((Started, 3), (Measured, 72)):
        assert sum(isinstance(event, kind) for event in events) == count
    assert is_whole(tmp_path, whole)
    assert not list((place / "cache/scratch").glob(".*")), "nothing is left on the nodes"
    assert set(ends(list(on_ray(cluster, tmp_path))).values()) == {(True, "")}


def test_a_killed_worker_costs_nothing(
    tmp_path: Path, cluster: Any, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed: list[int] = []
    for event in on_ray(cluster, tmp_path):
        if isinstance(event, Measured) and event.record.epoch == 2 and not killed:
            killed = [pid for node in cluster.list_all_nodes() for pid in workers(node)][:1]
            os.kill(killed[0], signal.SIGKILL)
    assert "given out again" in caplog.text
    assert is_whole(tmp_path, whole)


def test_a_lost_node_costs_nothing(
    tmp_path: Path, cluster: Any, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.add_node(**NODE)
    lost: list[Any] = []
    for event in on_ray(cluster, tmp_path):
        if isinstance(event, Measured) and not lost:
            lost = [node for node in cluster.worker_nodes if workers(node)][:1]
            cluster.remove_node(*lost)
    assert "given out again" in caplog.text
    assert is_whole(tmp_path, whole)


def test_a_half_finished_study_goes_on_there_and_then_here(
    tmp_path: Path, cluster: Any, whole: Path
) -> None:
    """One run finished here, one stopped on the cluster, which leaves a checkpoint."""
    for event in executing.execute(study(), runs(study()), tmp_path, Settings("cpu", offline=True)):
        if isinstance(event, Ended):
            break
    events = on_ray(cluster, tmp_path)
    stopped = next(event for event in events if isinstance(event, Measured))
    events.close()  # as Ctrl-C does
    run = tmp_path / stopped.run.name
    assert json.loads((run / "run.json").read_text())["state"] == "interrupted"
    assert (run / "resume.pt").is_file()
    first = (run / "records.jsonl").read_text().splitlines()[0]
    assert ends(list(on_ray(cluster, tmp_path)))[NAMES[0]] == (True, "")
    assert (run / "records.jsonl").read_text().splitlines()[0] == first, "not trained again"
    assert is_whole(tmp_path, whole)


def test_a_run_that_fails_stops_no_other_and_is_not_given_out_again(
    tmp_path: Path, cluster: Any, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wild = {"v": {"optimizer": "sgd", "lr": 1e38}}
    asked = Study.model_validate({**STUDY, "tables": {"t": {"base": "b", "variants": wild}}})
    events = list(on_ray(cluster, tmp_path, asked))
    assert "the loss became" in ends(events)["t/v/seed-0"][1]
    assert ends(events)["t/b/seed-0"] == (False, "")
    assert is_whole(tmp_path, whole, NAMES[:1])
    assert store.read_runs(tmp_path)[1].state == "failed"
    assert not caplog.text


@pytest.mark.parametrize("shared", [True, False])
def test_heads_are_trained_in_the_company_they_would_have_here(
    tmp_path: Path, place: Path, cluster: Any, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is finished already when the cluster goes on: without it the bits would differ."""
    if not shared:
        monkeypatch.setattr(driver, "_marked", lambda _: nullcontext())
    start = place / "start.safetensors"
    if not start.is_file():
        torch.manual_seed(0)
        save_file(resnet18(num_classes=3).state_dict(), start)
    recipe = {"model": "resnet18", "weights": str(start), "freeze": "backbone", "size": 32}
    variants = {"faster": {"lr": 0.01}, "smoothed": {"label_smoothing": 0.2}}
    asked = Study.model_validate({
        "name": "heads", "data": STUDY["data"],
        "recipe": {**recipe, "epochs": 4, "batch": 16, "precision": "fp32"},
        "tables": {"h": {"base": "b", "variants": variants}},
    })  # fmt: skip
    names = ("h/b/seed-0", "h/faster/seed-0", "h/smoothed/seed-0")
    like = place / "heads"
    if not like.is_dir():
        here(like, asked)
    events = executing.execute(asked, runs(asked), tmp_path, Settings("cpu", offline=True))
    assert next(event.run.name for event in events if isinstance(event, Ended)) == names[0]
    events.close()  # type: ignore[attr-defined]
    went_on = ends(list(on_ray(cluster, tmp_path, asked)))
    assert went_on == {name: (name == names[0], "") for name in names}
    assert content(tmp_path / names[2])["run"]["at_once"] == 3
    assert is_whole(tmp_path, like, names)


class Given:
    """In the place of a cluster: what is given out is noted."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def give(self, task: Task) -> None:
        self.tasks.append(task)


def test_a_run_that_costs_three_workers_has_failed(tmp_path: Path, place: Path) -> None:
    asked = study()
    (run, *_) = runs(asked)
    plan = driver.opened(asked, [run], tmp_path, Settings("cpu", offline=True), None)
    given, task, died = Given(), Task((run,), (run,)), Over(death="out of memory")
    for deaths in (1, 2):
        assert not list(driver._over(given, plan, task, died))  # type: ignore[arg-type]
        task = given.tasks.pop()
        assert task.deaths == deaths
    (event,) = driver._over(given, plan, task, died)  # type: ignore[arg-type]
    assert event.error == "3 workers died of it, the last: out of memory"
    assert not given.tasks
    assert json.loads((tmp_path / run.name / "run.json").read_text())["error"] == event.error


def test_other_photographs_on_a_node_are_not_believed(tmp_path: Path) -> None:
    asked = study()
    (run, *_) = runs(asked)
    settings = Settings("cpu", offline=True)
    place = worker.Place(asked, tmp_path, "", tmp_path, settings)
    with pytest.raises(RecipeError, match="start weights or teacher there are not those here"):
        list(worker.carry_out(place, (run,), (run,), {run.name: "another"}, 1))
    assert not (tmp_path / run.name).exists()


SEEN = worker.Seen(worker.versions(), "fp32", "")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (worker.Seen(SEEN.versions, "fp32", "data.source: /x does not exist"), "node two: data.s"),
        (
            worker.Seen({**SEEN.versions, "torch": "1.0"}, "fp32", ""),
            "node two has torch 1.0, this",
        ),
        (worker.Seen(SEEN.versions, "bf16", ""), "precision: auto is bf16 on two and fp32 on one"),
        ("No module named 'bakeoff'", "node two: No module named 'bakeoff'"),
    ],
)
def test_nodes_that_are_not_alike_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Any, said: str
) -> None:
    monkeypatch.setattr(driver, "seen", lambda *_: {"1": SEEN, "2": other})
    asked = study(precision="auto")
    place = worker.Place(asked, tmp_path, "", tmp_path, Settings("cpu"))
    with pytest.raises(RecipeError, match=said):
        driver._demand_alike(place, runs(asked), {"1": "one", "2": "two"}, 0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Cluster(cpus=9), "--cpus 9 --gpus 0: no node has as much; there are: 1 CPUs with 0 GPUs"),
        (Cluster(gpus=1), "--cpus 1 --gpus 1: no node has as much"),
        (Cluster(cpus=0), "--cpus: 0 is not allowed"),
        (Cluster(gpus=1.5), "--gpus: 1.5 is not allowed; a fraction of one, or a whole number"),
    ],
)
def test_what_no_node_has_is_refused(cluster: Any, asked: Cluster, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        session.resources(asked)


def said_by(*arguments: str, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "bakeoff", "run", "demo", *arguments]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, **environment}
    )
    return done.returncode, done.stderr


def test_addresses_where_no_cluster_answers_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    began = time.monotonic()
    for address, reason in (
        (f"127.0.0.1:{port}", "no Ray cluster answers at"),
        ("ray://head:10001", "is not allowed; host:port"),
        ("auto", "is not allowed; host:port"),
    ):
        with pytest.raises(RecipeError, match=reason), session.connected(Cluster(address)):
            pass
    assert time.monotonic() - began < 30, "Ray itself waits for minutes"


def test_without_ray_one_sentence_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    code, said = said_by("--on", "ray", "--out", str(tmp_path / "runs"), PYTHONPATH=path)
    assert code == 2
    assert "pip install 'bakeoff[ray]'" in said
    assert "Traceback" not in said


def test_when_ray_dies_under_the_command_no_run_has_failed(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(_: object) -> None:
        raise LocalRayletDiedError

    monkeypatch.setattr(giving.ray, "get", died)
    with pytest.raises(ConnectionError, match="Ray died on this machine; begin it again, and the"):
        giving._next(iter([1]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--on", "slurm"), "--on: slurm is not allowed; allowed: here, ray"),
        (("--gpus", "1"), "--gpus: allowed only with --on ray"),
        (("--address", "a:1"), "--address: allowed only with --on ray"),
        (("--on", "ray", "--device", "cpu"), "--device: cpu is not allowed with --on ray"),
    ],
)
def test_options_that_disagree_are_refused(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["run", "demo", "--dry-run", *arguments])
    assert done.exit_code == 2
    assert said in done.output
