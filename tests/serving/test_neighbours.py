"""The nearest training photographs: of the right net, among the right ones, computed once."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bakeoff.classifier import load
from bakeoff.data.opened import as_stored
from bakeoff.data.photographs import DataError
from bakeoff.fields import RecipeError
from bakeoff.inputs import seen
from bakeoff.models.parts import through
from bakeoff.serving import neighbours as nearby
from bakeoff.serving.asked import Asked
from bakeoff.serving.neighbours import Neighbours, features, split_file


@pytest.fixture
def asked(place: Any) -> Iterator[Asked]:
    found = Asked(load(place.best, device="cpu"), "best")
    yield found
    found.close()


def silent(_what: str, _done: int, _total: int) -> None:
    pass


def filled(asked: Asked) -> Neighbours:
    found = Neighbours(asked)
    found.fill(silent)
    found.wait()
    return found


def trained_on(place: Any) -> list[Path]:
    (split,) = place.study.glob("split-*.csv")
    with split.open(encoding="utf-8") as lines:
        return [Path(row["path"]) for row in csv.DictReader(lines) if row["split"] == "train"]


def test_features_are_what_enters_the_head(asked: Asked, place: Any) -> None:
    classifier, files = asked.classifier, place.photographs()[:5]
    pixels = np.stack([as_stored(file, classifier.recipe.side) for file in files])
    found = features(asked, pixels)
    head = classifier.net.module.get_submodule(classifier.net.head)
    parts = [part for part in classifier.net.parts if part.module is not head]
    assert len(parts) == len(classifier.net.parts) - 1
    body = through(parts, seen(pixels, classifier.net, classifier.recipe.size))
    assert found == pytest.approx(F.normalize(body.flatten(1)).numpy(), abs=1e-6)
    assert not head._forward_pre_hooks


def test_the_nearest_are_those_with_the_largest_cosine(asked: Asked, place: Any) -> None:
    known, files = filled(asked), trained_on(place)
    assert len(known) == known.done == len(files)
    every = features(asked, np.stack([asked.look(file.read_bytes()) for file in files]))
    for file in files[::13]:
        pixels = asked.look(file.read_bytes())
        likeness = every @ features(asked, pixels[None])[0]
        named = {(other.name, other.parent.name): likeness[n] for n, other in enumerate(files)}
        found = known.nearest(pixels)
        assert len(found) == 8
        for each, wanted in zip(found, sorted(likeness, reverse=True), strict=False):
            assert each.likeness == pytest.approx(wanted, abs=1e-5)
            assert named[each.name, each.label] == pytest.approx(wanted, abs=1e-5)
            assert each.picture is not None
            assert each.picture.startswith(b"\xff\xd8")
        assert named[file.name, file.parent.name] == pytest.approx(found[0].likeness, abs=1e-5)
        assert found[0].likeness == pytest.approx(1, abs=1e-5)


def test_features_are_computed_once(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    first = filled(asked)
    monkeypatch.setattr(nearby, "features", None)  # whoever computed again would fail
    again = Neighbours(asked)
    again.fill(silent)
    assert again.done == len(again) == len(first)


def test_another_net_has_other_features(asked: Asked, place: Any) -> None:
    filled(asked)
    other = Asked(load(place.other, device="cpu"), "other")
    assert Neighbours(other).done == 0
    other.close()


def test_changed_photographs_are_looked_at_again(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = shutil.copytree(place.study, tmp_path / "noise")
    copies = shutil.copytree(place.folder / "photographs", tmp_path / "photographs")
    (split,) = study.glob("split-*.csv")
    text = split.read_text(encoding="utf-8")
    split.write_text(text.replace(str(place.folder), str(tmp_path)), encoding="utf-8")
    assert str(copies) in split.read_text(encoding="utf-8")
    asked = Asked(load(study / "best", device="cpu"), "copy")
    assert filled(asked).done == len(trained_on(place))
    changed = next(iter(trained_on(place))).relative_to(place.folder)
    (tmp_path / changed).write_bytes(b"no image any more")
    known = filled(asked)
    assert known.done == len(known)
    (row,) = (n for n, path in enumerate(known.photographs.paths) if path.endswith(str(changed)))
    assert known._features is not None
    broken = np.flatnonzero((known._features == 0).all(axis=1))
    assert broken.tolist() == [row]  # what is broken is like nothing, and stops nothing
    (tmp_path / changed).unlink()
    with pytest.raises(DataError, match="names files that are not there"):
        Neighbours(asked)
    asked.close()


def test_until_all_are_seen_the_nearest_are_of_those_that_were(
    asked: Asked, place: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = Neighbours(asked)
    pixels = np.zeros((36, 36, 3), np.uint8)
    assert known.nearest(pixels) == []
    stopped: list[int] = []

    def stop(_what: str, done: int, _total: int) -> None:
        stopped.append(done)
        known._stop.set()

    known.fill(stop)
    known.wait()
    assert stopped == [known.done] == [16]
    first = known.photographs.take(range(16))
    assert {each.name for each in known.nearest(pixels)} <= {
        Path(path).name for path in first.paths
    }
    assert set(first.labels) == {0, 1}
    assert Neighbours(asked).done == 0  # half of it is not kept


def test_of_many_a_sample(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearby, "MOST", 20)
    first, again = Neighbours(asked), Neighbours(asked)
    assert len(first) == 20
    assert first.photographs.paths == again.photographs.paths
    assert set(first.photographs.splits) == {"train"}


def test_where_the_split_lies(place: Any, tmp_path: Path) -> None:
    (split,) = place.study.glob("split-*.csv")
    assert split_file(place.best) == split_file(place.other / "model") == split
    bare = shutil.copytree(place.best, tmp_path / "bare")
    with pytest.raises(RecipeError, match="does not lie in the folder of its study"):
        split_file(bare)
    for spoilt in ("{", '{"table": 1}', "[]", "null", '{"table": "a", "variant": "b", "seed": 0}'):
        (bare / "origin.json").write_text(spoilt)
        with pytest.raises(RecipeError, match="does not lie in the folder of its study"):
            split_file(bare)


def test_no_gradient_is_kept(asked: Asked, place: Any) -> None:
    filled(asked)
    assert torch.is_grad_enabled()
    assert all(p.grad is None for p in asked.classifier.net.module.parameters())
