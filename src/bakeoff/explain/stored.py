"""What a run folder holds of explanations, read and written without torch.

maps.npz   weight maps, activation maps of one photograph, V1 likeness, drift
cams.npz   Grad-CAM panels of chosen photographs, each with its checks
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.explain import v1
from bakeoff.explain.chosen import KINDS, Kind
from bakeoff.files import aside

MAPS, CAMS = "maps.npz", "cams.npz"
ALIKE = 0.5
BEATEN = 0.9
Bytes = NDArray[np.uint8]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Activation:
    """Tiles (T, h, w) of a layer that has `shape` (C, H, W): the first T of its C filters."""

    layer: str
    shape: tuple[int, ...]
    tiles: Bytes

    @property
    def left_out(self) -> int:
        """How many filters have no tile."""
        return self.shape[0] - len(self.tiles)


@dataclass(frozen=True)
class Maps:
    """What one run stored; `filters` is empty, and `v1` None, where `notes` say why."""

    filters: Bytes  # (K, h, w, 3 or 1)
    alive: NDArray[np.bool_]  # (K,)
    num_filters: int
    activations: tuple[Activation, ...]
    image: Bytes  # (S, S, 3)
    image_id: str
    v1: v1.Comparison | None
    drift: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Panel:
    """A Grad-CAM map (h, w) of the predicted class, and what two checks say of it.

    `deletion` is the area (`checks.Deletion`); the same map laid elsewhere, `moves` times, has
    `random_mean`, and a larger one at `beaten` of these places. `alike_head` and `alike_last` are
    rank correlations with the maps of nets whose head, or last convolution and all after it, was
    shuffled; None for a map without contrast.
    """

    image_id: str
    kind: Kind | None  # None for a photograph that was given, not chosen
    label: int | None
    predicted: int
    confidence: float
    image: Bytes  # (S, S, 3)
    map: NDArray[np.float32]
    deletion: float
    random_mean: float
    beaten: int
    moves: int
    alike_head: float | None
    alike_last: float | None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Say why the map is not to be trusted; empty when it passed both checks."""
        if self.alike_head is None or self.alike_last is None or not (self.map > 0).any():
            return ("the map has no contrast",)
        said = []
        if self.beaten < BEATEN * self.moves:
            said.append(
                f"at {self.moves - self.beaten} of {self.moves} other places it does as well"
            )
        if max(self.alike_head, self.alike_last) > ALIKE:
            said.append("a net with shuffled weights gives much the same map")
        return tuple(said)


def write_maps(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write what `maps.compute` returned to `folder`/maps.npz, all or nothing."""
    return _write(folder / MAPS, arrays)


def read_maps(folder: Path) -> Maps | None:
    """Read `folder`/maps.npz; None where there is none or it is damaged."""
    arrays = _read(folder / MAPS)
    if arrays is None:
        return None
    try:
        return _maps(arrays)
    except (KeyError, TypeError, ValueError):
        return None


def _maps(arrays: Arrays) -> Maps:
    told = json.loads(str(arrays["told"]))
    activations = tuple(
        Activation(layer, tuple(shape), arrays[f"activations_{number}"])
        for number, (layer, shape) in enumerate(told["layers"])
    )
    return Maps(
        filters=arrays["filters"],
        alive=arrays["alive"],
        num_filters=told["num_filters"],
        activations=activations,
        image=arrays["image"],
        image_id=told["image_id"],
        v1=v1.restored(told["v1"]) if told["v1"] else None,
        drift=tuple(told["drift"]),
        notes=tuple(told["notes"]),
    )


def write_cams(folder: Path, panels: Sequence[Panel]) -> Path:
    """Write panels of one net, whose maps and pictures have one size, to `folder`/cams.npz."""
    plain = [asdict(panel) for panel in panels]
    images = np.stack([panel.pop("image") for panel in plain])
    maps = np.stack([panel.pop("map") for panel in plain]).astype(np.float16)
    arrays = {"told": np.array(json.dumps(plain)), "images": images, "maps": maps}
    return _write(folder / CAMS, arrays)


def read_cams(folder: Path) -> tuple[Panel, ...]:
    """Read `folder`/cams.npz; empty where there is none or it is damaged."""
    arrays = _read(folder / CAMS)
    if arrays is None:
        return ()
    try:
        maps = arrays["maps"].astype(np.float32)
        parts = zip(json.loads(str(arrays["told"])), arrays["images"], maps, strict=True)
        return tuple(Panel(**told, image=image, map=map_) for told, image, map_ in parts)
    except (KeyError, TypeError, ValueError):
        return ()


def why(panel: Panel) -> str:
    """Say by which rule a panel's photograph was chosen."""
    return KINDS[panel.kind] if panel.kind else "given"


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    with aside(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def _read(path: Path) -> Arrays | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return None
