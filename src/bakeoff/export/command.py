"""`bakeoff export`: write, compare, time, describe; nothing is kept of a net that drifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bakeoff import machine
from bakeoff.classifier import load
from bakeoff.data import plates
from bakeoff.data.decode import DecodeError
from bakeoff.data.folders import images_below
from bakeoff.data.opened import Photograph, rgb, stream
from bakeoff.data.photographs import DataError, Progress
from bakeoff.data.spec import DataSpec
from bakeoff.export import contract, parity
from bakeoff.export.graph import Whole
from bakeoff.export.runtimes import RUNTIMES, asked, program
from bakeoff.fields import RecipeError, nearest
from bakeoff.files import aside, write_json
from bakeoff.handover import card

MOST, DRAWN, GOLDEN = 1000, 10, 8  # photographs; drawn ones a class; golden ones


@dataclass(frozen=True)
class Exported:
    """What was written, and how well it agrees."""

    path: Path
    parity: parity.Parity
    source: str
    latency: list[dict[str, float]]


def export(
    model: Path,
    to: str,
    progress: Progress,
    *,
    photographs: Path | None = None,
    with_preprocessing: bool = False,
) -> Exported:
    """Write the net of `model` for another runtime into its folder `export`, and into its card.

    It is compared on up to 1,000 photographs below `photographs`, else on 100 drawn ones. Raises
    RecipeError or DataError, and DriftError where it does not answer as the net does.
    """
    if to not in RUNTIMES:
        raise RecipeError(f"--to: {to} is not allowed{nearest(to, list(RUNTIMES))}; onnx or torch")
    runtime, whole = RUNTIMES[to], with_preprocessing
    classifier = load(model, device="cpu")
    classifier.net.module.to(memory_format=torch.contiguous_format)
    chosen, source = _photographs(photographs)
    golden = _golden(chosen)
    example = parity.batch_of(classifier, golden[0], whole=whole)
    module = Whole(classifier).eval() if whole else classifier.answering
    folder = classifier.folder / "export"
    progress("tracing", 0, 0)
    with aside(folder / runtime.file) as temporary:
        two = torch.from_numpy(np.repeat(example, 2, axis=0))
        traced = program(module, two, whole=whole)
        runtime.write(traced, temporary, *contract.names(whole=whole))
        ask = runtime.open(temporary)
        found = parity.compare(classifier, ask, chosen, len(chosen), progress, whole=whole)
        parity.demand(found)
        progress("timing", 0, 0)
        times = parity.latency(lambda batch: asked(module, batch), ask, example)
    contract.write_golden(folder / "golden", classifier, golden)
    measured = {
        "runtime": runtime.name,
        "source": source,
        **asdict(found),
        "hardware": machine.environment(classifier.device, "fp32")["hardware"],
        "threads": torch.get_num_threads(),
        "latency": times,
    }
    told = contract.contract(classifier, whole=whole)
    write_json(folder / f"{to}.json", {"file": runtime.file, **told, "measured": measured})
    card.write_exports(classifier.folder)
    return Exported(folder / runtime.file, found, source, times)


def _photographs(folder: Path | None) -> tuple[Sequence[Photograph], str]:
    """Return up to MOST photographs, evenly from `folder`, or drawn ones; and what they are."""
    if folder is None:
        paths = plates.listed(DataSpec(source="plates", per_class=DRAWN)).paths[: 10 * DRAWN]
        return [plates.draw(path, 320) for path in paths], "drawn plates"
    if not folder.is_dir():
        raise DataError(f"--photographs: {folder} is not a folder")
    found = images_below(folder)
    if not found:
        raise DataError(f"--photographs: no images in {folder} or below")
    places = np.linspace(0, len(found) - 1, min(MOST, len(found))).round().astype(int)
    return [folder / found[place] for place in places], "photographs"


def _golden(chosen: Sequence[Photograph]) -> list[Image.Image]:
    """Open a few of the photographs, evenly taken from those that can be read."""
    places = np.linspace(0, len(chosen) - 1, min(4 * GOLDEN, len(chosen))).round().astype(int)
    read = stream((chosen[place] for place in places), rgb)
    good = [image for image in read if not isinstance(image, DecodeError)]
    if not good:
        raise DataError("--photographs: none can be read")
    return good[:: max(1, len(good) // GOLDEN)][:GOLDEN]
