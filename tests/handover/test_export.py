"""Exports: what other runtimes answer, read as the contract says, and what happens when they drift.

onnxruntime is asked here as a stranger would: from the JSON and the PNGs alone.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from scipy.special import softmax
from typer.testing import CliRunner

from bakeoff.cli import app
from bakeoff.data.squares import square
from bakeoff.export import DriftError, export
from bakeoff.export import graph as graphs
from bakeoff.fields import RecipeError


@pytest.fixture(autouse=True)
def _time_single_photographs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bakeoff.export.parity.BATCHES", (1,))
    monkeypatch.setattr("bakeoff.export.parity.SECONDS", 0.0)


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


def answers(folder: Path, batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    told = json.loads((folder / "onnx.json").read_text())
    (output,) = session.run([told["output"]["name"]], {told["input"]["name"]: batch})
    for step in told["after"]:
        output = output / step["by"] if step["do"] == "divide" else softmax(output, axis=1)
    return np.asarray(output)


def prepared(image: Image.Image, steps: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """Do what the contract says, with Pillow and NumPy."""
    array = np.empty(0)
    for step in steps:
        match step["do"], step:
            case "crop", {"to": "centre square"}:
                edge = min(image.size)
                left, top = (image.width - edge) / 2, (image.height - edge) / 2
                box = (left, top, left + edge, top + edge)
            case "resize", {"to": side}:
                image = image.resize((side, side), Image.Resampling.BICUBIC, box=box)
            case "crop", {"size": size}:
                start = round((image.width - size) / 2)
                array = np.asarray(image, np.float32)[start : start + size, start : start + size]
            case "divide", {"by": number}:
                array = array / np.float32(number)
            case "subtract", {"each_channel": mean}:
                array = array - np.array(mean, np.float32)
            case "divide", {"each_channel": std}:
                array = array / np.array(std, np.float32)
    return array.transpose(2, 0, 1)[None].astype(np.float32)


def golden(folder: Path) -> list[tuple[Image.Image, dict[str, Any]]]:
    told = json.loads((folder / "golden/golden.json").read_text())
    assert told["tolerance"] == 1e-3
    return [(Image.open(folder / "golden" / row["file"]), row) for row in told["photographs"]]


def test_onnx_answers_as_its_contract_and_golden_photographs_say(
    best: Path, workplace: Path
) -> None:
    made = export(best, "onnx", quiet, photographs=workplace / "photographs")
    assert (made.parity.images, made.parity.agreement) == (120, 1.0)
    assert made.parity.largest_difference < 1e-5
    steps = json.loads((best / "export/onnx.json").read_text())["before"]
    pairs = golden(best / "export")
    assert len(pairs) == 8
    batch = np.concatenate([prepared(image, steps) for image, _ in pairs])
    expected = np.array([row["probabilities"] for _, row in pairs])
    np.testing.assert_allclose(answers(best / "export", batch), expected, atol=1e-4)
    assert {row["answer"] for _, row in pairs} == {"a", "b"}
    assert "100.0 %" in (best / "README.md").read_text().split("## Exports")[1]


def test_onnx_with_its_preprocessing_takes_photographs_of_any_size(
    best: Path, workplace: Path
) -> None:
    arguments = ["export", str(best), "--to", "onnx", "--with-preprocessing"]
    arguments += ["--photographs", str(workplace / "photographs")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "model.onnx: 100 % agreement on 120 photographs" in done.stdout
    told = json.loads((best / "export/onnx.json").read_text())
    assert told["input"]["shape"] == ["batch", "height", "width", 3]
    assert (told["after"], told["classes"]) == ([], ["a", "b"])
    for image, row in golden(best / "export"):
        twice = np.stack([np.asarray(image)] * 2)
        shares = answers(best / "export", twice)
        np.testing.assert_allclose(shares, [row["probabilities"]] * 2, atol=1e-5)


def test_the_torch_program_runs_and_a_drift_keeps_nothing(
    best: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = export(best, "torch", quiet, photographs=workplace / "photographs")
    program = torch.export.load(made.path)
    assert program.module()(torch.zeros(5, 3, 32, 32)).shape == (5, 2)
    monkeypatch.setattr("bakeoff.export.parity.MOST_DIFFERENCE", -1.0)
    before = sorted(best.rglob("*"))
    with pytest.raises(DriftError, match=r"drifts: 100\.00 % agreement on 120 photographs"):
        export(best, "torch", quiet, photographs=workplace / "photographs")
    assert sorted(best.rglob("*")) == before
    assert zipfile.is_zipfile(made.path)


@pytest.mark.parametrize(
    ("height", "width"),
    [(30, 41), (90, 41), (47, 33), (64, 64), (32, 32), (20, 12), (12, 20), (150, 40), (33, 200)],
)
def test_the_graph_resizes_bit_for_bit_like_pillow(height: int, width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    found = graphs.resized(torch.from_numpy(pixels), 32)
    wanted = np.stack([square(Image.fromarray(each), 32) for each in pixels])
    assert (found.permute(0, 2, 3, 1).numpy() == wanted).all()


@pytest.mark.parametrize("rows_first", [True, False])
def test_either_order_of_resizing_is_within_a_level(
    monkeypatch: pytest.MonkeyPatch, rows_first: bool
) -> None:
    monkeypatch.setattr(graphs, "ROWS_OF_TALL_FIRST", rows_first)
    grey = np.random.default_rng(1).integers(96, 160, (1, 150, 40, 3))  # nothing is clipped
    pixels = grey.astype(np.uint8)
    found = graphs.resized(torch.from_numpy(pixels), 32).permute(0, 2, 3, 1).numpy()
    assert np.abs(found - square(Image.fromarray(pixels[0]), 32)).max() <= 1


def test_another_runtime_is_refused(best: Path) -> None:
    with pytest.raises(RecipeError, match=r"--to: onx is not allowed; did you mean onnx\?"):
        export(best, "onx", quiet)
