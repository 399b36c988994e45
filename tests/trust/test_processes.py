"""The command itself: killed, told to stop, started twice. Long version: tests/endurance."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

STUDY = """
name: killed
data: {source: plates, per_class: 10, validation: 0.3}
recipe:
  model: baseline
  size: 32
  net: {width: 4, padding: 1, dropout: 0.2}
  augment: {policy: standard}
  epochs: 4
  batch: 16
  precision: fp32
tables: {small: {base: plain, variants: {silu: {net.activation: silu}}}}
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def kill_study(program: Callable[[str], ModuleType]) -> ModuleType:
    module = program("kill_study")
    module.STUDY = STUDY
    return module


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, kill_study: ModuleType) -> Path:
    """Return the folder of a study that nobody touched."""
    work = tmp_path_factory.mktemp("whole")
    kill_study.killed_to_the_end(work, 0, 0, random.Random(0))
    return work / "runs/killed"


def test_killed_at_random_moments_nothing_differs(
    tmp_path: Path, kill_study: ModuleType, whole: Path
) -> None:
    killed = kill_study.killed_to_the_end(tmp_path, 3, 6.0, random.Random(4))
    assert killed.total() >= 1
    assert kill_study.difference(whole, tmp_path / "runs/killed") == ""


def test_two_processes_share_a_study_and_end_with_the_same_bits(
    tmp_path: Path, kill_study: ModuleType, whole: Path
) -> None:
    """Determinism over processes too: each of the two trains what the untouched one did."""
    logs = [tmp_path / "one.txt", tmp_path / "two.txt"]
    processes = [kill_study.begin(tmp_path, log) for log in logs]
    assert [process.wait(120) for process in processes] == [0, 0]
    said = "".join(log.read_text() for log in logs)
    assert "Traceback" not in said
    lines = (line.split("  train")[0] for line in said.splitlines() if "  epoch " in line)
    assert set(Counter(lines).values()) == {1}, "each epoch of each run was trained once"
    assert kill_study.difference(whole, tmp_path / "runs/killed") == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_told_to_stop_it_writes_a_checkpoint_and_leaves(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "killed.yaml").write_text(STUDY)
    called = tmp_path / "scontrol.txt"
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {called}\n')
    (tmp_path / "scontrol").chmod(0o755)
    slurm = {"SLURM_JOB_ID": "7", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "bakeoff", "run", "killed.yaml", "--set", "epochs=9999"]
    command += ["--only", "plain"]
    place = tmp_path / "runs/killed/small/plain/seed-0"
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, **slurm}
    ) as process:
        while not (place / "records.jsonl").is_file() or not (place / "records.jsonl").read_text():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        began = time.monotonic()
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert "Traceback" not in said
    assert (place / "resume.pt").is_file()
    assert json.loads((place / "run.json").read_text())["state"] == "interrupted"
    queued = number == signal.SIGUSR1
    assert called.is_file() == queued
    assert ("in the queue again" if queued else "the same command goes on") in said
    if queued:
        assert called.read_text() == "requeue 7\n"
