"""Photographs and weights from anywhere: nothing is executed, no process dies."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bakeoff.fields import RecipeError
from bakeoff.models import weights, zoo
from bakeoff.models.parts import Net
from bakeoff.recipe import parse

Program = Callable[[str], ModuleType]


def test_damaged_photographs_give_pixels_or_a_sentence(program: Program) -> None:
    fuzz = program("fuzz_images")
    files = fuzz.originals()
    found = {n: fuzz.outcome(fuzz.damaged(n, files)[1]) for n in range(480)}
    assert set(found.values()) == {"pixels", "refused"}


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


@pytest.fixture
def net() -> Net:
    fields = {"model": "baseline", "size": 32, "net": {"width": 4, "padding": 1}}
    return zoo.build(parse(fields), 3)


def _as(kind: torch.dtype, net: Net) -> dict[str, torch.Tensor]:
    state = net.module.state_dict()
    return {n: t.to(kind) if t.is_floating_point() else t for n, t in state.items()}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", [torch.int32, torch.int8, torch.bool, torch.float8_e4m3fn])
def test_weights_of_other_kinds_are_refused(
    tmp_path: Path, net: Net, kind: torch.dtype, suffix: str
) -> None:
    path = tmp_path / f"w{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(_as(kind, net), path)
    with pytest.raises(RecipeError, match="is of kind"):
        weights.load(net, path)


def test_weights_without_numbers_are_refused(tmp_path: Path, net: Net) -> None:
    state = net.module.state_dict()
    cases = {
        "nan": ({**state, "conv1.0.weight": state["conv1.0.weight"] * torch.nan}, "no numbers"),
        "meta": ({name: tensor.to("meta") for name, tensor in state.items()}, "sparse or empty"),
        "huge": ({**state, "conv1.0.weight": torch.zeros(1).expand(10**12)}, "another shape"),
        "keys": ({1: torch.zeros(1), **state}, "1 is not part of it"),
    }
    for name, (content, said) in cases.items():
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(RecipeError, match=said):
            weights.load(net, tmp_path / f"{name}.pth")


def test_nothing_in_a_weights_file_is_executed(
    tmp_path: Path, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.pth").write_bytes(pickle.dumps(_Code(), protocol=2))
    with zipfile.ZipFile("zip.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": _Code()}, protocol=2))
        archive.writestr("archive/version", "3")
    with zipfile.ZipFile("bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(10**7))
    Path("header.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    Path("deep.safetensors").write_bytes(struct.pack("<Q", 10**5) + b"[" * 10**5)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(RecipeError, match="cannot be read as weights"):
            weights.load(net, path)
    assert not (tmp_path / "pwned").exists()


def test_damaged_weights_load_or_are_refused(tmp_path: Path, net: Net, program: Program) -> None:
    fuzz = program("fuzz_weights")
    found = {n: fuzz.outcome(n, tmp_path, net) for n in range(150)}
    assert set(found.values()) == {"loaded", "refused"}
