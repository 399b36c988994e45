"""`--out s3://…`: a study that any machine goes on with, on an object store of this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from typer.testing import CliRunner

from bakeoff import execute as executing
from bakeoff import mirror as mirrors
from bakeoff.cli import app
from bakeoff.events import Ended
from bakeoff.fields import RecipeError
from bakeoff.mirror import Mirror, mirrored, put, put_all
from bakeoff.settings import Settings
from bakeoff.study import Study, runs

RUN = "t/b/seed-0"
OTHER = "t/v/seed-0"
FILES = (
    "model/config.json", "model/model.safetensors", "predictions.npz", "recipe.yaml",
    "records.jsonl", "run.json",
)  # fmt: skip
CONTENT: dict[str, Any] = {
    "name": "tiny",
    "data": {"source": "plates", "per_class": 4, "validation": 0.5},
    "recipe": {
        "model": "baseline", "size": 32, "net": {"width": 4, "padding": 1}, "epochs": 1,
        "precision": "fp32",
    },
    "tables": {"t": {"base": "b", "variants": {"v": {"net.activation": "silu"}}}},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _no_maps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bakeoff.explain.keep.keep_run_maps", lambda *_, **__: None)
        yield


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Go to another machine: one with a cache of its own."""

    def go(name: str) -> None:
        monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path / name))

    go("one")
    return go


def carried_out(mirror: Mirror, **recipe: Any) -> dict[str, bool]:
    """Run the study; return which runs were finished before."""
    asked = Study.model_validate({**CONTENT, "recipe": {**CONTENT["recipe"], **recipe}})
    reused = {}
    for event in executing.execute(asked, runs(asked), mirror.folder, Settings("cpu")):
        if isinstance(event, Ended):
            assert not event.error
            reused[event.run.name] = event.reused
            put(mirror, event.run.name)
    return reused


def names(bucket: str) -> set[str]:
    system = fsspec.filesystem("s3")
    system.invalidate_cache()
    return {path.removeprefix("here/studies/tiny/") for path in system.find(bucket)}


def test_what_one_machine_has_finished_another_goes_on_from(machine: Any, bucket: str) -> None:
    first = mirrored(f"{bucket}/studies", "tiny")
    assert carried_out(first) == {RUN: False, OTHER: False}
    assert names(bucket) == {f"{run}/{name}" for run in (RUN, OTHER) for name in FILES}
    put_all(first)
    assert {"study.yaml", "split-42.csv"} <= names(bucket)
    assert not [name for name in names(bucket) if "/." in name]
    machine("two")
    second = mirrored(f"{bucket}/studies/", "tiny")
    assert second.folder != first.folder
    for name in FILES:
        assert (second.folder / RUN / name).read_bytes() == (first.folder / RUN / name).read_bytes()
    assert carried_out(second) == {RUN: True, OTHER: True}


def test_a_run_that_was_put_by_half_or_damaged_is_made_and_put_again(
    machine: Any, bucket: str
) -> None:
    first = mirrored(f"{bucket}/studies", "tiny")
    carried_out(first)
    system, at = fsspec.filesystem("s3"), "here/studies/tiny"
    system.rm(f"{at}/{RUN}/run.json")  # put last: a machine that died before that leaves none
    system.pipe_file(f"{at}/{OTHER}/predictions.npz", b"torn")
    machine("two")
    assert carried_out(mirrored(f"{bucket}/studies", "tiny")) == {RUN: False, OTHER: False}
    machine("three")
    assert carried_out(mirrored(f"{bucket}/studies", "tiny")) == {RUN: True, OTHER: True}


def test_what_could_not_be_put_is_said_and_put_in_the_end(
    machine: Any, bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = mirrored(f"{bucket}/studies", "tiny")

    def dead(*_: object) -> None:
        raise OSError("the line is dead")

    with monkeypatch.context() as patch:
        patch.setattr(mirrors, "_put_file", dead)
        carried_out(mirror)
        with pytest.raises(
            RecipeError, match=r"^--out: s3://here/studies/tiny cannot be reached: "
        ):
            put_all(mirror)
    assert f"{RUN} is not at s3://here/studies/tiny yet: --out: " in caplog.text
    assert not names(bucket)
    put_all(mirror)
    assert {f"{RUN}/{name}" for name in FILES} <= names(bucket)


def test_other_runs_at_the_address_are_not_overwritten(machine: Any, bucket: str) -> None:
    carried_out(mirrored(f"{bucket}/studies", "tiny"))
    machine("two")
    second = mirrored(f"{bucket}/studies", "tiny")
    with pytest.raises(RecipeError, match="was run with another recipe"):
        carried_out(second, lr=0.02)
    machine("three")
    third = Mirror(second.address, second.system, second.root, second.folder.parents[3] / "x")
    carried_out(Mirror(third.address, third.system, "here/elsewhere", third.folder), lr=0.02)
    with pytest.raises(RecipeError, match=r"tiny/t/b/seed-0/run.json is of another run than"):
        mirrors._is_finished(third, f"{RUN}/run.json")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s4://here/x", r"^--out: s4://here/x/tiny begins with s4://, which is not known"),
        ("s3://here/x", r"^--out: s3://here/x/tiny may not be read offline"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused(bucket: str, address: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        mirrored(address, "tiny", offline=True)


def test_the_command_keeps_report_and_model_there_too(tmp_path: Path, bucket: str) -> None:
    logging.getLogger("botocore").setLevel(logging.ERROR)
    (tmp_path / "tiny.yaml").write_text(json.dumps(CONTENT))
    command = ["run", str(tmp_path / "tiny.yaml"), "--out", f"{bucket}/studies", "--device", "cpu"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "Kept:   s3://here/studies/tiny" in done.output
    assert {"report.html", "best/model.safetensors", f"{RUN}/run.json"} <= names(bucket)
