"""The commands, as a user types them: what they print, leave behind, refuse, and exit with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

import bakeoff

STUDY = """
name: tiny
question: Does SiLU help?
data: {source: plates, per_class: 4, validation: 0.5}
recipe: {model: baseline, size: 32, net: {width: 4, padding: 1}, epochs: 2, precision: fp32}
tables:
  small:
    base: plain
    variants:
      silu: {net.activation: silu}
"""
KEYS = [
    "table", "variant", "changes", "n", "test_accuracy", "test_accuracy_spread", "test_loss",
    "validation_accuracy", "validation_loss", "train_accuracy", "train_loss", "epochs", "seconds",
    "state",
]  # fmt: skip


def call(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "bakeoff", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    return tmp_path


def photographs(folder: Path, count: int = 6, classes: str = "ab") -> Path:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            colour = (40 * index % 256, 200 * number % 256, 90)
            Image.new("RGB", (40, 50), colour).save(folder / name / f"{index}.png")
    return folder


def test_version_help_and_studies(tmp_path: Path) -> None:
    assert call(tmp_path, "--version").stdout == f"bakeoff {bakeoff.__version__}\n"
    assert "report" in call(tmp_path, "--help").stdout
    listed = call(tmp_path, "studies").stdout
    assert {line.split()[0] for line in listed.splitlines()} >= {"demo", "food101-20", "train"}


def test_dry_run_prints_what_every_variant_changes_and_leaves_nothing(study: Path) -> None:
    said = call(study, "run", "tiny.yaml", "--dry-run", "--seeds", "3").stdout
    assert "net.activation relu → silu" in said
    assert "6 runs" in said
    assert "small: 3 seeds cannot decide 1 change, however large the difference" in said
    until = call(study, "run", "tiny.yaml", "--dry-run", "--until-decided").stdout
    assert "cannot decide" not in until
    assert [path.name for path in study.iterdir()] == ["tiny.yaml"]


def test_a_study_runs_once_reports_and_repeats_nothing(study: Path) -> None:
    done = call(study, "run", "tiny.yaml", "--only", "plain", "--seeds", "1")
    assert "Report: runs/tiny/report.html" in done.stdout
    before = (study / "runs/tiny/small/plain/seed-0/run.json").read_bytes()
    again = call(study, "run", "tiny.yaml", "--seeds", "2")
    assert "plan:" not in done.stderr
    assert "plan: small: 2 seeds cannot decide 1 change" in again.stderr
    assert "1 runs were finished already" in again.stderr
    assert (study / "runs/tiny/small/plain/seed-0/run.json").read_bytes() == before
    rows = [
        json.loads(line)
        for line in call(study, "report", "runs/tiny", "--json").stdout.splitlines()
    ]
    assert [(row["variant"], row["n"], row["state"]) for row in rows] == [
        ("plain", 2, "finished"),
        ("silu", 2, "finished"),
    ]
    for row in rows:
        assert list(row)[: len(KEYS)] == KEYS
        assert 0 <= row["test_accuracy"] <= 1
        assert row["epochs"] == 2
    assert (study / "runs/tiny/best/model.safetensors").is_file()
    kept = yaml.safe_load((study / "runs/tiny/small/silu/seed-1/recipe.yaml").read_text())
    assert kept["change"] == {"net.activation": ["relu", "silu"]}


def test_a_half_finished_study_has_a_report(study: Path) -> None:
    call(study, "run", "tiny.yaml", "--only", "silu")
    rows = call(study, "report", "runs/tiny", "--json").stdout.splitlines()
    assert [json.loads(row)["state"] for row in rows] == ["pending", "finished"]
    for format_ in ("--markdown", "--csv", "--latex"):
        assert "silu" in call(study, "report", "runs/tiny", format_).stdout


def test_a_changed_recipe_never_overwrites(study: Path) -> None:
    call(study, "run", "tiny.yaml", "--only", "plain")
    before = (study / "runs/tiny/small/plain/seed-0/predictions.npz").read_bytes()
    said = call(study, "run", "tiny.yaml", "--only", "plain", "--set", "lr=0.01", code=2).stderr
    assert "plain/seed-0 was run with another recipe (lr 0.001 → 0.01)" in said
    assert "choose another --out" in said
    assert (study / "runs/tiny/small/plain/seed-0/predictions.npz").read_bytes() == before


def test_killed_in_the_middle_the_same_command_goes_on(study: Path) -> None:
    command = [sys.executable, "-m", "bakeoff", "run", "tiny.yaml", "--set", "epochs=40"]
    folder = study / "runs/tiny/small"
    with subprocess.Popen(command, cwd=study, stderr=subprocess.DEVNULL) as process:
        while not (folder / "plain/seed-0/records.jsonl").is_file():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130
    states = [json.loads(path.read_text())["state"] for path in folder.glob("*/*/run.json")]
    assert "interrupted" in states
    call(study, "run", "tiny.yaml", "--set", "epochs=40")
    for variant in ("plain", "silu"):
        assert json.loads((folder / variant / "seed-0/run.json").read_text())["state"] == "finished"


def test_one_failed_run_stops_neither_the_others_nor_the_report(study: Path) -> None:
    text = STUDY.replace("silu: {net.activation: silu}", "wild: {optimizer: sgd, lr: 1.0e+30}")
    (study / "tiny.yaml").write_text(text + "      silu: {net.activation: silu}\n")
    done = call(study, "run", "tiny.yaml", code=1)
    assert "small/wild/seed-0 failed: the net gives no numbers after epoch 1" in done.stderr
    assert "1 runs failed" in done.stderr
    rows = call(study, "report", "runs/tiny", "--json").stdout.splitlines()
    assert [json.loads(row)["state"] for row in rows] == ["finished", "failed", "finished"]


def test_train_makes_one_model_from_a_folder(tmp_path: Path) -> None:
    photographs(tmp_path / "photos")
    sets = ["model=baseline", "size=32", "net.width=4", "net.padding=1", "epochs=2"]
    options = [part for text in sets for part in ("--set", text)]
    done = call(tmp_path, "train", "photos", "--out", "mine", "--weights", "none", *options)
    assert "Model:  mine/best" in done.stdout
    config = json.loads((tmp_path / "mine/best/config.json").read_text())
    assert config["label_names"] == ["a", "b"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("truncated", "of 12 photographs cannot be decoded: a/0.png"),
        ("empty", "of 12 photographs cannot be decoded: a/0.png"),
        ("text", "of 12 photographs cannot be decoded: a/0.png"),
        ("one class", "at least two are needed"),
        ("one photograph", "photograph"),
        ("empty class", "c"),
        ("nothing", "photos"),
        ("missing", "nowhere"),
        ("split without a class", "b"),
        ("out is a file", "--out: mine cannot be a folder"),
    ],
)
def test_broken_input_gets_one_sentence(tmp_path: Path, make: str, said: str) -> None:
    photos = tmp_path / "photos"
    photographs(photos, 1 if make == "one photograph" else 6, "a" if make == "one class" else "ab")
    first = photos / "a" / "0.png"
    if make == "truncated":
        first.write_bytes(first.read_bytes()[:60])
    elif make == "empty":
        first.write_bytes(b"")
    elif make == "text":
        first.write_text("not a photograph")
    elif make == "empty class":
        (photos / "c").mkdir()
    elif make == "nothing":
        for path in photos.glob("*/*"):
            path.unlink()
    elif make == "split without a class":
        photographs(photos / "train")
        photographs(photos / "test", classes="a")
        for name in "ab":
            for path in (photos / name).iterdir():
                path.unlink()
            (photos / name).rmdir()
    elif make == "out is a file":
        (tmp_path / "mine").write_text("mine already")
    source = "nowhere" if make == "missing" else "photos"
    sets = ["--set", "model=baseline", "--set", "size=32", "--set", "net.padding=1"]
    command = ["train", source, "--out", "mine", "--weights", "none", *sets, "--set", "epochs=1"]
    stderr = call(tmp_path, *command, code=2).stderr
    sentence = stderr.strip().splitlines()[-1]
    assert sentence.startswith("bakeoff: ")
    assert said in sentence
    if make == "out is a file":
        assert (tmp_path / "mine").read_text() == "mine already"


def test_bad_photographs_are_left_out_on_request_and_named(tmp_path: Path) -> None:
    photographs(tmp_path / "photos", 12)
    (tmp_path / "photos/a/0.png").write_bytes(b"")
    sets = ["--set", "model=baseline", "--set", "size=32", "--set", "net.padding=1"]
    sets += ["--set", "epochs=1", "--set", "net.width=4", "--weights", "none"]
    call(tmp_path, "train", "photos", "--out", "mine", "--skip-bad", *sets)
    run = json.loads((tmp_path / "mine/train/model/seed-0/run.json").read_text())
    assert list(run["data"]["left_out"]) == ["a/0.png"]
    assert sum(run["data"]["counts"].values()) == 23


def test_offline_without_weights_says_what_to_do(tmp_path: Path) -> None:
    photographs(tmp_path / "photos")
    os.environ["TORCH_HOME"] = str(tmp_path / "torch")
    said = call(tmp_path, "train", "photos", "--offline", code=2).stderr
    assert "weights: imagenet for resnet18 is not on this disk and --offline was given" in said
