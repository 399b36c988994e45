"""The card: its figures against scikit-learn's, its code run, nothing of this machine in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import yaml
from sklearn.metrics import precision_recall_fscore_support

from bakeoff.fields import RecipeError
from bakeoff.handover import card, hand_over
from bakeoff.handover.trust import trust
from bakeoff.models import config as configs
from bakeoff.models import folder as model_folder
from bakeoff.models import zoo
from bakeoff.models.config import Promise, Trust
from bakeoff.recipe import parse
from bakeoff.store import Predictions, read_runs, read_study


@pytest.fixture(scope="module")
def text(workplace: Path) -> str:
    return (workplace / "runs/noise/best/README.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_run(workplace: Path, text: str) -> None:
    folder = workplace / "runs/noise"
    origin = json.loads((folder / "best/origin.json").read_text())
    run = folder / origin["table"] / origin["variant"] / f"seed-{origin['seed']}"
    with np.load(run / "predictions.npz") as arrays:
        labels, predicted = arrays["test_labels"], arrays["test_logits"].argmax(axis=1)
    accuracy = 100 * float((labels == predicted).mean())
    assert f"**{accuracy:.1f} %** right of {len(labels)} test photographs" in text
    shares = precision_recall_fscore_support(labels, predicted, zero_division=0)
    for name, precision, recall, f1, support in zip("ab", *shares, strict=True):
        cells = (f"{100 * each:.1f} %" for each in (precision, recall, f1))
        assert f"| {name} | {support} | {' | '.join(cells)} |" in text


def test_the_card_of_a_variant_says_what_its_change_did(workplace: Path, tmp_path: Path) -> None:
    folder = workplace / "runs/noise"
    runs, study = read_runs(folder), read_study(folder)
    (variant,) = (run for run in runs if run.variant == "silu")
    config = configs.read(variant.folder / "model")
    kept = trust(variant.predictions("validation"))
    card.write(tmp_path, config, study, runs, variant, kept, timm=True)
    text = (tmp_path / "README.md").read_text()
    said = (
        "Against `base` the change net.activation relu → silu: **can't tell yet**; one shared seed"
    )
    assert said in text
    assert yaml.safe_load(text.split("---\n")[1])["library_name"] == "timm"
    assert len(re.findall(r"```python", text)) == 2
    assert "views" not in text


def test_the_card_says_where_timm_alone_answers_otherwise(workplace: Path, tmp_path: Path) -> None:
    folder = workplace / "runs/noise"
    runs, study = read_runs(folder), read_study(folder)
    config = configs.read(runs[0].folder / "model")
    recipe = config.bakeoff.recipe.model_copy(update={"views": "flip"})
    own = config.bakeoff.model_copy(update={"recipe": recipe})
    config = config.model_copy(update={"bakeoff": own})
    card.write(
        tmp_path, config, study, runs, runs[0], trust(runs[0].predictions("validation")), timm=True
    )
    text = (tmp_path / "README.md").read_text()
    assert "It answers on one view of a photograph; the figures here are means" in text
    assert "(`views: flip`)" in text


def test_its_head_is_what_the_hub_reads_and_no_path_is_in_it(workplace: Path, text: str) -> None:
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["pipeline_tag"] == "image-classification"
    assert "library_name" not in head, "timm does not know the small net"
    config = (workplace / "runs/noise/best/config.json").read_text()
    assert str(workplace) not in text + config


def test_the_code_in_it_runs(workplace: Path, text: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 5
    code = code.replace("FOLDER", str(workplace / "runs/noise/best"))
    names: dict[str, object] = {}
    exec(code.replace("photograph.jpg", str(workplace / "photographs/a/1.png")), names)
    assert names["names"] == ["a"]
    assert names["shares"].shape == (1, 2)  # type: ignore[attr-defined]


def test_handing_over_again_keeps_the_exports_of_the_same_run(workplace: Path) -> None:
    folder = workplace / "runs/noise"
    (folder / "best/export").mkdir()
    (folder / "best/export/notes.txt").write_text("kept")
    assert hand_over(folder) == folder / "best"
    assert (folder / "best/export/notes.txt").read_text() == "kept"
    origin = json.loads((folder / "best/origin.json").read_text())
    (folder / "best/origin.json").write_text(json.dumps({**origin, "identity": "another"}))
    hand_over(folder)
    assert not (folder / "best/export").exists()


def test_trust_is_fitted_on_validation_and_keeps_what_it_can() -> None:
    sure = np.array([[9.0, 0.0]] * 90 + [[0.5, 0.0]] * 10, np.float32)
    labels = np.array([0] * 90 + [1] * 10)
    kept = trust(Predictions(np.array(["x"] * 100), labels, sure))
    thresholds = {each.error: each.threshold for each in kept.promises}
    assert kept.validation_images == 100
    assert thresholds[0.01] is None, "0.99^100 is 0.37: no errorless hundred proves 1 %"
    assert thresholds[0.05] == pytest.approx(1 / (1 + np.exp(-9 / kept.temperature)))


def test_between_two_promises_the_stricter_is_taken() -> None:
    promises = (
        Promise(error=0.01, threshold=None),
        Promise(error=0.05, threshold=0.8),
        Promise(error=0.1, threshold=0.6),
    )
    kept = Trust(temperature=1, validation_images=50, confidence=0.95, promises=promises)
    assert [kept.threshold(error) for error in (0.05, 0.07, 0.1, 0.5)] == [0.8, 0.8, 0.6, 0.6]
    for error in (0.04, 0, 1, -1, float("nan")):
        with pytest.raises(RecipeError, match=r"50 validation photographs can promise: 0\.05"):
            kept.threshold(error)


def test_timm_reads_a_net_it_knows_and_preprocesses_alike(tmp_path: Path) -> None:
    recipe = parse({"model": "resnet18", "size": 96, "stored": 128})
    model_folder.write(tmp_path, zoo.build(recipe, 2), recipe, ["a", "b"])
    assert model_folder.read_by_timm(tmp_path)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    told = timm.data.resolve_model_data_config(theirs)
    assert list(told["input_size"]) == [3, 96, 96]
    assert told["interpolation"] == "bicubic"
    resize, crop = timm.data.create_transform(**told).transforms[:2]
    assert (resize.size, tuple(crop.size)) == (128, (96, 96))


def test_exports_are_written_again_not_twice(best: Path) -> None:
    (best / "export").mkdir()
    measured = {
        "runtime": "onnxruntime 1", "source": "photographs", "images": 1000, "agreement": 1.0,
        "largest_difference": 2e-6, "hardware": "a|b", "threads": 2,
        "latency": [{"batch": 1, "torch_milliseconds": 2.0, "export_milliseconds": 1.0}],
    }  # fmt: skip
    told = {"file": "model.onnx", "output": {"name": "logits"}, "measured": measured}
    (best / "export/onnx.json").write_text(json.dumps(told))
    card.write_exports(best)
    once = (best / "README.md").read_text()
    card.write_exports(best)
    assert (best / "README.md").read_text() == once
    assert once.count("## Exports") == 1
    assert "| onnxruntime 1 | no | 1,000 photographs | 100.0 % | 2.0e-06 |" in once
    assert "a\\|b" in once
