"""One run on several real processes: the same records as one, none lost, none written twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from .conftest import Place, wait_for

CLOCKS = {"seconds", "images_per_second"}


def records(run: Path) -> list[dict[str, float]]:
    lines = (run / "records.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCKS} for line in lines]


def state(run: Path) -> str:
    return str(json.loads((run / "run.json").read_text())["state"])


@pytest.fixture(scope="module")
def one(many: Place) -> Path:
    return many.run(1, "one", "--only", "plain") / "plain/seed-0"


@pytest.fixture(scope="module")
def two(many: Place) -> Path:
    return many.run(2, "two")


def same_within(one: Path, other: Path, tolerance: float) -> None:
    """Records, weights and logits of two runs agree; so do the photographs they are of."""
    for left, right in zip(records(one), records(other), strict=True):
        assert left == pytest.approx(right, abs=tolerance)
    left, right = (load_file(run / "model/model.safetensors") for run in (one, other))
    assert list(left) == list(right)
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], atol=tolerance, rtol=tolerance)
    with np.load(one / "predictions.npz") as a, np.load(other / "predictions.npz") as b:
        for split, count in (("validation", 18), ("test", 15)):
            assert len(set(b[f"{split}_ids"])) == len(b[f"{split}_ids"]) == count
            assert a[f"{split}_ids"].tolist() == b[f"{split}_ids"].tolist()
            np.testing.assert_allclose(a[f"{split}_logits"], b[f"{split}_logits"], atol=tolerance)


def test_two_processes_give_the_records_of_one(one: Path, two: Path) -> None:
    same_within(one, two / "plain/seed-0", 2e-3)
    told = json.loads((two / "plain/seed-0/run.json").read_text())["environment"]
    assert (told["processes"], told["strategy"]) == (2, "ddp")


def test_a_teacher_counts_among_two_processes_as_it_does_for_one(many: Place, one: Path) -> None:
    taught = ("--only", "plain", "--set", f"distill.teacher={one}", "--set", "epochs=2")
    alone, shared = (many.run(count, f"taught-{count}", *taught) for count in (1, 2))
    same_within(alone / "plain/seed-0", shared / "plain/seed-0", 2e-3)
    untaught, learned = records(one)[0], records(alone / "plain/seed-0")[0]
    assert abs(untaught["train_loss"] - learned["train_loss"]) > 0.05


def test_four_processes_give_the_records_of_one(many: Place, one: Path) -> None:
    same_within(one, many.run(4, "four", "--only", "plain") / "plain/seed-0", 2e-3)


def test_sharded_nets_give_the_records_of_one_and_their_model_is_whole(
    many: Place, one: Path
) -> None:
    run = many.run(2, "fsdp", "--only", "plain", "--strategy", "fsdp") / "plain/seed-0"
    same_within(one, run, 2e-3)
    assert json.loads((run / "run.json").read_text())["environment"]["strategy"] == "fsdp"


def children(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that torchrun started, by their rank."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    ranks = {}
    for pid in text.split():
        pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        ranks |= {int(pair[5:]): int(pid) for pair in pairs if pair.startswith(b"RANK=")}
    return [ranks[rank] for rank in sorted(ranks)]


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_stopped_then_killed_it_goes_on_as_if_nothing_had_been(
    many: Place, two: Path, strategy: str
) -> None:
    run = many.folder / f"stopped-{strategy}" / "many/nets/dropout/seed-0"
    arguments = (f"stopped-{strategy}", "--only", "dropout", "--strategy", strategy)

    def reached(epoch: int) -> bool:
        return (run / "records.jsonl").is_file() and len(records(run)) >= epoch

    with many.begin(2, *arguments) as process:
        wait_for(lambda: reached(2), process)
        os.kill(children(process)[1], signal.SIGTERM)  # the leader hears of it from the other
        _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Interrupted; the same command goes on from here." in said
    assert state(run) == "interrupted"
    assert (run / "resume.pt").is_file()
    before = len(records(run))
    assert 2 <= before < 25
    with many.begin(2, *arguments) as process:
        wait_for(lambda: reached(before + 2), process)
        os.kill(children(process)[1], signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert state(run) in ("interrupted", "running")
    assert (run / "resume.pt").is_file()
    many.run(2, *arguments)
    assert state(run) == "finished"
    if strategy == "ddp":
        assert records(run) == records(two / "dropout/seed-0"), "bit for bit, dropout too"
    else:
        assert records(run)[:1] == [pytest.approx(records(two / "dropout/seed-0")[0], abs=2e-3)]
        assert [record["epoch"] for record in records(run)] == list(range(1, 26))


def test_what_two_began_one_goes_on_with(many: Place) -> None:
    """The checkpoint is whole, whoever wrote it."""
    run = many.folder / "fewer/many/nets/dropout/seed-0"
    arguments = ("fewer", "--only", "dropout")
    with many.begin(2, *arguments) as process:
        wait_for(lambda: (run / "records.jsonl").is_file() and len(records(run)) > 1, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    before = records(run)
    assert state(run) == "interrupted"
    many.run(1, *arguments)
    assert records(run)[: len(before)] == before
    assert state(run) == "finished"


def test_slurm_s_tasks_work_together_and_are_requeued_once(many: Place, tmp_path: Path) -> None:
    called = tmp_path / "scontrol.txt"
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {called}\n')
    (tmp_path / "scontrol").chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {
        "SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }  # fmt: skip
    run = many.folder / "slurm/many/nets/dropout/seed-0"
    tasks = []
    for task in ("0", "1"):
        mine = {**many.environment, **job, "SLURM_PROCID": task, "SLURM_LOCALID": task}
        tasks.append(Place(many.folder, mine).begin(1, "slurm", "--only", "dropout"))
    wait_for(lambda: (run / "records.jsonl").is_file() and len(records(run)) > 1, tasks[0])
    for task in tasks:
        task.send_signal(signal.SIGUSR1)
    said = [task.communicate(timeout=60)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [130, 130], said
    assert "in the queue again" in said[0]
    assert said[1] == "", "only one process speaks"
    assert called.read_text() == "requeue 7\n"
    assert state(run) == "interrupted"


def test_a_refusal_is_said_once_and_ends_all(many: Place) -> None:
    process = many.begin(2, "refused", "--set", "net.width=100000000", "--only", "plain")
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert said.count("bakeoff: ") == 1
