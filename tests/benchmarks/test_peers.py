"""Contenders do equal work: same photographs, same start, and a trained net to show for it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from benchmarks.contenders import CONTENDERS, given
from safetensors.torch import load_file
from torchvision.models import resnet18

from bakeoff import seeds
from bakeoff.models import zoo
from bakeoff.recipe import Recipe
from benchmarks import bare, harness, jobs, peers

TINY = jobs.Job("tiny", "resnet18", 32, epochs=1, num_images=20, lr=1e-3, batch=10, workers=0)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> jobs.Job:
    return jobs.prepare(TINY, "plates", "none", tmp_path_factory.mktemp("work"))


def test_photographs_are_laid_out_class_by_class_and_never_twice(job: jobs.Job) -> None:
    files = sorted(Path(job.photographs).glob("*/*/*.jpg"))
    counts = {split: sum(file.parts[-3] == split for file in files) for split in ("train", "test")}
    assert counts == {"train": 20, "test": 20}
    assert len(files) == 20 + 10 + 20  # a quarter of 20 is 5, rounded up to one a class
    assert len({file.read_bytes() for file in files}) == len(files)
    assert job.num_classes == 10


def test_a_source_with_too_few_photographs_is_refused(job: jobs.Job, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="a class has"):
        jobs.lay_out(job.photographs, 200, tmp_path)


def test_all_start_from_the_tensors_that_bakeoff_starts_from(job: jobs.Job) -> None:
    torch.manual_seed(seeds.number("init", 0))
    ours = zoo.build(Recipe(model=job.model, weights=job.start), job.num_classes).module
    theirs = given.net(job).state_dict()
    assert set(theirs) == set(ours.state_dict())
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.state_dict().items())


def test_with_freeze_the_head_alone_learns_and_batch_norm_stays(job: jobs.Job) -> None:
    net = given.net(replace(job, freeze=True))
    learning = [name for name, each in net.named_parameters() if each.requires_grad]
    assert learning == ["fc.weight", "fc.bias"]
    before = {name: each.clone() for name, each in net.named_buffers()}
    net.train()(torch.randn(4, 3, 32, 32))
    assert net.training
    assert all(torch.equal(each, before[name]) for name, each in net.named_buffers())


def test_without_freeze_batch_norm_learns(job: jobs.Job) -> None:
    net = given.net(job)
    before = net.bn1.running_mean.clone()
    net(torch.randn(4, 3, 32, 32))
    assert not torch.equal(net.bn1.running_mean, before)


def test_evaluation_sees_the_centre_square_normalised(job: jobs.Job) -> None:
    _, validation = given.loaders(job, workers=0)
    images, labels = next(iter(validation))
    assert images.shape == (10, 3, 32, 32)
    assert labels.tolist() == list(range(10))
    black = (0 - jobs.MEAN[0]) / jobs.STD[0]
    assert black <= images[:, 0].min()
    assert images[:, 0].max() <= (1 - jobs.MEAN[0]) / jobs.STD[0]


@pytest.mark.parametrize("name", ["bakeoff", "torchvision", "timm"])
def test_a_contender_trains_in_a_process_of_its_own(
    name: str, job: jobs.Job, tmp_path: Path
) -> None:
    result = peers.trained(peers.Contender(name), job, tmp_path, sys.executable)
    assert "error" not in result
    assert set(result["seconds"]) == {"import", "data", "train", "evaluate"}
    assert result["total"] == pytest.approx(sum(result["seconds"].values()))
    assert result["extrapolated"] is False
    assert 0 <= result["accuracy"] <= 1
    assert result["versions"]["torch"] == torch.__version__.split("+")[0]
    assert not list(tmp_path.iterdir())


def test_a_contender_that_fails_is_named_with_its_reason(job: jobs.Job, tmp_path: Path) -> None:
    broken = replace(job, start=str(tmp_path / "absent.safetensors"))
    result = peers.trained(peers.Contender("torchvision"), broken, tmp_path, sys.executable)
    assert "absent.safetensors" in result["error"]


def test_the_reason_of_a_failure_is_its_exception_not_a_progress_bar() -> None:
    said = "Traceback\n  File x\nValueError: too small\n 20%|██        | 19/95 [00:09<00:37]\n"
    assert peers.reason(said) == "ValueError: too small"
    assert peers.reason("a class is missing\n") == "a class is missing"
    assert peers.reason("") == "it said nothing"


def test_accuracy_is_of_the_net_that_was_handed_back(job: jobs.Job) -> None:
    state = dict(load_file(job.start))
    state["fc.weight"] = torch.zeros_like(state["fc.weight"])
    state["fc.bias"] = torch.eye(10)[3]
    assert jobs.accuracy(job, state) == 0.1  # always class 3 of ten


def test_only_the_training_of_unmeasured_epochs_is_extrapolated() -> None:
    seconds = {"import": 5.0, "data": 1.0, "train": 10.0, "evaluate": 2.0}
    whole = peers.scaled(seconds, 25, 25)
    assert whole == {"total": 18.0, "extrapolated": False, "measured_epochs": 25}
    assert peers.scaled(seconds, 1, 25) == {
        "total": 258.0,
        "extrapolated": True,
        "measured_epochs": 1,
    }


def test_the_summary_compares_within_rounds_and_keeps_them() -> None:
    def results(*totals: float) -> list[dict[str, object]]:
        shared = {"accuracy": 0.5, "extrapolated": False, "seconds": {"train": 1.0}}
        return [{"total": total, "pace": (total, 5), **shared} for total in totals]

    ours, theirs = peers.Contender("bakeoff"), peers.Contender("timm", fast=True)
    broken = peers.Contender("keras")
    found = peers.summary(
        {ours: results(1, 3, 2), theirs: results(2, 6, 6), broken: [{"error": "it broke"}]}
    )
    assert found["bakeoff"]["times_ours"] == 1
    assert found["timm fast"]["times_ours"] == 2
    assert found["timm fast"]["seconds"] == 6
    assert [each["total"] for each in found["timm fast"]["rounds"]] == [2, 6, 6]
    assert found["timm fast"]["pace"] == 5
    assert found["bakeoff"]["pace"] == 4
    assert found["keras"] == {"error": "it broke", "rounds": [{"error": "it broke"}]}


def test_the_pace_is_a_time_and_draws_no_number_of_ours() -> None:
    before = torch.random.get_rng_state()
    assert 0 < bare.pace() < 60_000
    assert torch.equal(torch.random.get_rng_state(), before)


def test_only_takes_jobs_and_contenders() -> None:
    some, contenders = peers.chosen(["head", "timm fast", "bakeoff"])
    assert [job.name for job in some] == ["head"]
    assert list(map(str, contenders)) == ["bakeoff", "timm fast"]
    assert len(peers.chosen([])[1]) == 1 + 2 * (len(CONTENDERS) - 1)
    with pytest.raises(SystemExit, match="there is no timn"):
        peers.chosen(["timn"])


def test_the_kept_facts_name_no_folder(job: jobs.Job) -> None:
    kept = peers._facts(job)
    assert not [value for value in kept.values() if "/" in str(value)]
    assert set(asdict(job)) - set(kept) == {"photographs", "start", "num_classes", "fast"}


def test_every_contender_is_a_module_with_a_train_of_a_job_and_a_clock() -> None:
    for module in CONTENDERS.values():
        text = (Path(peers.__file__).parent / "contenders" / f"{module}.py").read_text()
        assert "def train(job: Job, clock: Clock) -> dict[str, Tensor]:" in text
        assert "PACKAGES = (" in text


def test_the_help_of_every_command_answers() -> None:
    for name in ("peers", "contests", "step", "memory", "startup", "heads", "gpu"):
        call = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
        done = subprocess.run(
            call, env=harness.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert f"benchmarks.{name}" in done.stdout


def test_the_given_net_is_torchvisions_own(job: jobs.Job) -> None:
    assert type(given.net(job)) is type(resnet18())
