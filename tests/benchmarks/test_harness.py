"""The measuring is right: order, medians, ratios, what is written, own seconds, memory read."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.contenders.clock import Clock

from benchmarks import gpu, harness, heads, memory, ranks, startup, studies


def test_rounds_interleave_and_every_other_one_goes_backwards() -> None:
    called: list[str] = []
    calls = {name: (lambda name=name: called.append(name)) for name in "abc"}
    assert harness.rounds(calls, 3) == {name: [None] * 3 for name in "abc"}
    assert "".join(called) == "abccbaabc"


def test_a_ratio_is_the_median_of_the_ratios_within_rounds() -> None:
    # the machine was twice as slow in the last round: 2, 2, 3 -> 2, not median / median = 3
    assert harness.ratio([2.0, 6.0, 6.0], [1.0, 3.0, 2.0]) == 2.0
    with pytest.raises(ValueError, match="zip"):
        harness.ratio([1.0, 2.0], [1.0])


def test_the_command_is_kept_without_folders(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/benchmarks/peers.py"])
    said = harness.command(["--data", str(tmp_path / "photographs"), "--epochs", "3"])
    assert said == "python -m benchmarks.peers --data photographs --epochs 3"
    given = ["--set", "small/net.width=32", "--set", f"small/weights={tmp_path / 'start.pth'}"]
    said = harness.command([*given, str(tmp_path / "a=b")])
    assert said.endswith("--set small/net.width=32 --set small/weights=start.pth a=b")


def test_a_result_says_what_where_when_and_names_no_machine(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["step.py"])
    path = harness.write("step", {"rounds": 1}, {"share": 0.5}, tmp_path / "results")
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["results"] == {"share": 0.5}
    assert content["settings"] == {"rounds": 1}
    assert content["hardware"]["cores"] >= 1
    assert {"python", "torch"} <= set(content["versions"])
    assert path.name == f"step-{path.name.split('-', 1)[1]}"
    assert path.name.endswith(f"-{content['date']}.json")
    assert platform.node() not in text or platform.node() in ("", "localhost")
    assert str(tmp_path) not in text


def test_phases_end_where_the_next_begins(monkeypatch) -> None:
    now = iter([12.0, 13.0, 20.0, 21.0])
    monkeypatch.setattr("time.time", lambda: next(now))
    clock = Clock(started=10.0)
    for phase in ("data", "train", "evaluate"):
        clock.begins(phase)
    assert clock.stop() == {"import": 2.0, "data": 1.0, "train": 7.0, "evaluate": 1.0}


def test_a_stage_within_another_is_counted_once() -> None:
    now = iter([0.0, 1.0, 4.0, 9.0])
    watch = startup.Stopwatch(clock=lambda: next(now))
    inner = watch.on("inner", lambda value: value + 1)
    with watch.measuring("outer"):
        assert inner(1) == 2
    assert watch.seconds == {"outer": 1.0 + 5.0, "inner": 3.0}


def test_every_stage_is_a_function_of_bakeoff() -> None:
    for place in startup.STAGES.values():
        module, _, name = place.rpartition(".")
        assert callable(getattr(startup.importlib.import_module(module), name)), place


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
def test_memory_of_a_child_counts_what_it_fills_and_not_what_it_maps(tmp_path: Path) -> None:
    mapped = tmp_path / "mapped"
    mapped.write_bytes(b"\1" * 200 * 2**20)
    code = (
        "import mmap, sys; filled = bytearray(b'x') * (64 * 2**20);"
        "file = open(sys.argv[1], 'rb');"
        "pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ);"
        "total = sum(pages[::4096]); print(total, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(mapped)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        now = memory.sampled(child.pid)
        child.communicate()
    assert 64 < now["beyond_page_cache"] < 64 + 50
    assert now["page_cache"] > 200
    assert now["smaps_anonymous"] == pytest.approx(now["anonymous"], abs=2)


def test_heads_are_ten_rows_of_which_none_keeps_maps() -> None:
    study = studies.study(heads.RECIPE, {"source": "plates"}, heads.variants())
    runs = studies.without_maps(study, 10)
    assert len(runs) == 100
    assert study.seeds[0] not in {run.seed for run in runs}
    assert len({(run.row.recipe.lr, run.row.recipe.weight_decay) for run in runs}) == 10


def test_ways_of_stepping_are_those_that_can_be_asked_for_and_step() -> None:
    import torch

    from bakeoff.settings import STEPS

    assert set(gpu.WAYS) == set(STEPS) - {"auto"}
    rates = gpu.steps("resnet18", 2, torch.device("cpu"), num_steps=1, size=32)
    assert set(rates) == {"bare", "eager"}
    assert min(rates.values()) > 0


def test_without_cuda_the_gpu_benchmark_says_so(monkeypatch, capsys) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    gpu.main([])
    assert capsys.readouterr().out.startswith("No CUDA device")


def test_processes_are_compared_with_the_first_by_medians() -> None:
    def measured(processes: int, speed: float, loss: float) -> dict[str, object]:
        times = {"images_per_second": speed, "step_seconds": 64 / speed, "allreduce_seconds": 0.5}
        record = dict.fromkeys(ranks.KEPT, loss)
        return {"processes": processes, **times, "parameter_bytes": 8, "records": [record]}

    one = [measured(1, speed, 2.0) for speed in (10.0, 40.0, 20.0)]
    two = [measured(2, speed, 2.25) for speed in (30.0, 80.0, 30.0)]
    found = ranks.summed_up({"1": one, "2": two})
    assert [each["processes"] for each in found] == [1, 2]
    assert [each["images_per_second"] for each in found] == [20.0, 30.0]
    assert [each["largest_difference"] for each in found] == [0.0, 0.25]
    assert found[1]["parameter_bytes"] == 8
    assert [each["images_per_second"] for each in found[0]["rounds"]] == [10.0, 40.0, 20.0]
