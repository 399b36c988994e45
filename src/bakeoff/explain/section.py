"""The page's section on what the nets learned, from the run folders' own files. No torch.

One run stands for a variant: the first finished seed that has maps. All pictures are in the page,
together less than three megabytes: the more variants there are, the fewer tiles a layer shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from bakeoff.explain import tiles, words
from bakeoff.explain.stored import Activation, Maps, Panel, read_cams, read_maps
from bakeoff.explain.v1 import Likeness
from bakeoff.store import RunFiles

BUDGET = 2_900_000  # characters, all pictures together
OF_ACTIVATIONS, OF_PANELS = 0.55, 0.3
TILE_PIXELS, PHOTOGRAPH_PIXELS = 32, 160
MOST_FILTERS = 64
TILE_COUNTS = (64, 48, 32, 24, 16, 12, 8, 4)
BASE64 = 4 / 3


@dataclass(frozen=True)
class Learned:
    """A section as `bakeoff.page.Section` takes it; `html` is safe, names in it are escaped."""

    id: str
    title: str
    lead: str
    html: Markup


@dataclass(frozen=True)
class Shown:
    """The run that stands for a variant, and what it stored."""

    run: RunFiles
    maps: Maps

    @property
    def name(self) -> str:
        """Table and variant."""
        return f"{self.run.table}/{self.run.variant}"


def section(runs: Sequence[RunFiles]) -> Learned | None:
    """Return the section on `runs`; None where no run has maps."""
    shown = chosen(runs)
    if not shown:
        return None
    environment = Environment(
        loader=PackageLoader("bakeoff.explain"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("learned.html").render(
        words=words,
        layers=_first_layers(shown),
        **_likeness(shown),
        **_activations(shown),
        **_panels(runs),
        drifts=[(each.name, each.maps.drift) for each in shown if each.maps.drift],
    )
    lead = "Filters, activations and explanations of one run a variant."
    return Learned("learned", "What it learned", lead, Markup(html))


def chosen(runs: Sequence[RunFiles]) -> list[Shown]:
    """Return each variant's first finished run that has maps."""
    found: dict[tuple[str, str], Shown] = {}
    for run in runs:
        place = run.table, run.variant
        if place not in found and run.state == "finished" and (maps := read_maps(run.folder)):
            found[place] = Shown(run, maps)
    return list(found.values())


def _first_layers(shown: Sequence[Shown]) -> list[dict[str, str]]:
    """Draw each different first layer once, with all the variants that have it."""
    groups: dict[bytes, list[Shown]] = {}
    for each in shown:
        if len(each.maps.filters):
            groups.setdefault(each.maps.filters.tobytes(), []).append(each)
    return [_first_layer(group) for group in groups.values()]


def _first_layer(group: Sequence[Shown]) -> dict[str, str]:
    maps = group[0].maps
    kept = tiles.enlarged(maps.filters[:MOST_FILTERS])
    picture = tiles.grid(kept, tiles.columns_for(len(kept)), 2, dimmed=~maps.alive[: len(kept)])
    said = words.of_filters(maps.num_filters, maps.filters.shape[1:3], int((~maps.alive).sum()))
    if len(kept) < maps.num_filters:
        said += f", the first {len(kept)} shown"
    measured = maps.v1 is not None and maps.v1.own.oriented is not None
    return {
        "names": ", ".join(each.name for each in group),
        "picture": tiles.address(tiles.png(picture)),
        "said": said,
        "likeness": words.of_likeness(maps.v1) if maps.v1 and measured else "",
    }


def _likeness(shown: Sequence[Shown]) -> dict[str, Any]:
    """List the V1 figures of measured layers with their controls, and why others have none."""
    measured: list[tuple[str, Likeness, bool]] = []
    reasons: dict[str, list[str]] = {}
    for each in shown:
        likeness = each.maps.v1
        if likeness is None:
            continue
        if likeness.own.oriented is None:
            reasons.setdefault(likeness.own.reason, []).append(each.name)
            continue
        for part, name in words.PARTS.items():
            found = getattr(likeness, part)
            if found is not None:
                measured.append((each.name if part == "own" else name, found, part != "own"))
    said = [(reason, ", ".join(names)) for reason, names in reasons.items()]
    return {"measured": measured, "reasons": said}


def _activations(shown: Sequence[Shown]) -> dict[str, Any]:
    """Make the activation maps, with as many tiles as the page has room for."""
    number = sum(len(each.maps.activations) for each in shown)
    room = BUDGET * OF_ACTIVATIONS / BASE64 / max(number, 1)
    count = next((n for n in TILE_COUNTS if n * (TILE_PIXELS + 1) ** 2 <= room), TILE_COUNTS[-1])
    first = shown[0].maps
    folded = [
        {
            "name": each.name,
            "other": "" if each.maps.image_id == first.image_id else each.maps.image_id,
            "layers": [_layer(activation, count) for activation in each.maps.activations],
        }
        for each in shown
        if each.maps.activations
    ]
    size = (PHOTOGRAPH_PIXELS, PHOTOGRAPH_PIXELS)
    small = np.asarray(Image.fromarray(first.image).resize(size, Image.Resampling.LANCZOS))
    photograph = tiles.address(tiles.jpeg(small), "jpeg")
    return {"folded": folded, "photograph": photograph, "image_id": first.image_id}


def _layer(activation: Activation, count: int) -> dict[str, str]:
    kept = activation.tiles[:count]
    if kept.shape[-1] > TILE_PIXELS:
        size = (TILE_PIXELS, TILE_PIXELS)
        small = (Image.fromarray(tile).resize(size, Image.Resampling.BOX) for tile in kept)
        kept = np.stack([np.asarray(tile) for tile in small])
    content = tiles.indexed_png(kept, tiles.columns_for(len(kept), wide=1.4))
    said = words.of_activation(Activation(activation.layer, activation.shape, kept))
    return {"name": activation.layer, "picture": tiles.address(content), "said": said}


def _panels(runs: Sequence[RunFiles]) -> dict[str, Any]:
    """Make the Grad-CAM panels of the best run that has some, as far as there is room."""
    made: list[dict[str, Any]] = []
    told = {"panels_of": "", "passed": 0, "rules": ""}
    if explained := panels_of_best(runs):
        run, found = explained
        classes = [str(name) for name in run.run.get("classes", ())]
        room = BUDGET * OF_PANELS
        for panel in found:
            made.append(_panel(panel, classes))
            room -= len(made[-1]["photograph"]) + len(made[-1]["lit"])
            if room < 0:
                made.pop()
                break
        told["panels_of"] = f"{run.table}/{run.variant}, seed {run.seed}"
        told["passed"] = sum(not panel["doubts"] for panel in made)
        told["rules"] = words.of_rules(found[0].moves)
    return {"panels": made, **told}


def panels_of_best(runs: Sequence[RunFiles]) -> tuple[RunFiles, tuple[Panel, ...]] | None:
    """Return the run of the best validation accuracy that has Grad-CAM panels, and these."""
    ranked = sorted(runs, key=_validation_accuracy, reverse=True)
    return next(((run, found) for run in ranked if (found := read_cams(run.folder))), None)


def _validation_accuracy(run: RunFiles) -> float:
    return max((record.validation_accuracy for record in run.records), default=0.0)


def _panel(panel: Panel, classes: Sequence[str]) -> dict[str, Any]:
    lit = tiles.overlay(panel.image, panel.map)
    return {
        "image_id": panel.image_id,
        "photograph": tiles.address(tiles.jpeg(panel.image), "jpeg"),
        "lit": tiles.address(tiles.jpeg(lit), "jpeg"),
        "said": words.of_prediction(panel, classes).replace("\n", "; "),
        "checks": "; ".join(words.of_checks(panel).split("\n")[:-1]),
        "verdict": "; ".join(panel.doubts) or "passed both checks",
        "doubts": bool(panel.doubts),
    }
