"""What a runtime must know: the preprocessing as JSON, golden photographs to check itself by."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bakeoff.classifier import Classifier
from bakeoff.data.opened import as_stored
from bakeoff.export.parity import MOST_DIFFERENCE
from bakeoff.files import write_json

FORMAT = 1
LARGER = 1.25  # golden photographs are larger than what the net sees, so that resizing is checked


def names(*, whole: bool) -> tuple[str, str]:
    """Return what the graph's input and output are called."""
    return ("photographs", "probabilities") if whole else ("images", "logits")


def contract(classifier: Classifier, *, whole: bool) -> dict[str, Any]:
    """Return the preprocessing that the graph leaves to its caller, in the order it is done."""
    recipe, size, trust = classifier.recipe, classifier.recipe.size, classifier.trust
    input_name, output_name = names(whole=whole)
    count = len(classifier.classes)
    opened = [
        {"do": "decode", "colours": "RGB, 8 bits", "colour_profile": "ignored"},
        {"do": "turn upright", "as": "EXIF orientation"},
        {"do": "lay transparent parts over", "colour": [255, 255, 255]},
    ]
    pixels = [
        {"do": "crop", "to": "centre square", "side": "the shorter side"},
        {"do": "resize", "to": recipe.side, "filter": "bicubic, a = -0.5, antialiased (Pillow)"},
        {"do": "crop", "to": "centre", "size": size},
        {"do": "divide", "by": 255},
        {"do": "subtract", "each_channel": list(classifier.net.mean)},
        {"do": "divide", "each_channel": list(classifier.net.std)},
    ]
    after = [{"do": "divide", "by": trust.temperature if trust else 1.0}, {"do": "softmax"}]
    images = {"dtype": "float32", "shape": ["batch", 3, size, size]}
    photographs = {"dtype": "uint8", "shape": ["batch", "height", "width", 3]}
    return {
        "format": FORMAT,
        "input": {"name": input_name, **(photographs if whole else images)},
        "before": opened if whole else opened + pixels,
        "output": {"name": output_name, "dtype": "float32", "shape": ["batch", count]},
        "after": [] if whole else after,
        "classes": list(classifier.classes),
    }


def write_golden(folder: Path, classifier: Classifier, photographs: Sequence[Image.Image]) -> None:
    """Write `photographs`, losslessly and not larger than needed, with what the net answers."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = []
    for number, image in enumerate(photographs):
        factor = min(1.0, LARGER * classifier.recipe.side / min(image.size))
        small = image.resize((round(image.width * factor), round(image.height * factor)))
        name = f"{number}.png"
        small.save(folder / name)
        logits = classifier.logits(as_stored(np.asarray(small), classifier.recipe.side)[None])
        shares = classifier.probabilities(as_stored(small, classifier.recipe.side)[None])[0]
        rows.append(
            {
                "file": name,
                "answer": classifier.classes[int(shares.argmax())],
                "logits": [round(float(each), 6) for each in logits[0]],
                "probabilities": [round(float(each), 6) for each in shares],
            }
        )
    told = {"format": FORMAT, "tolerance": MOST_DIFFERENCE, "photographs": rows}
    write_json(folder / "golden.json", told)
