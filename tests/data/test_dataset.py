"""The whole way from a spec to rows: indices line up, notes tell, the fingerprint follows."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.dataset import load
from bakeoff.data.photographs import DataError
from bakeoff.data.pixels import BadPhotographs
from bakeoff.data.squares import square


@pytest.fixture
def folder(tmp_path, fill):
    return fill(tmp_path / "d", {"a": 10, "b": 10})


def rows_match_files(data):
    for row in range(len(data)):
        with Image.open(data.photographs.file(row)) as image:
            if not np.array_equal(data.pixels[row], square(image.convert("RGB"), data.side)):
                return False
    return True


def test_rows_line_up(folder, spec):
    data = load(spec(folder), 12)
    assert len(data) == 20
    assert data.side == 12
    assert data.classes == ("a", "b")
    together = np.concatenate([data.indices(name) for name in ("train", "validation", "test")])
    assert sorted(together.tolist()) == list(range(20))
    assert data.indices("train").dtype == np.int64
    assert rows_match_files(data)
    assert data.notes["counts"] == {"train": 12, "validation": 4, "test": 4}
    assert data.notes["smallest_class"] == {"train": 6, "validation": 2, "test": 2}
    assert data.notes["smallest_side"] == 20
    assert "the source gives no test split" in data.notes["split"]
    json.dumps(data.notes)
    with pytest.raises(ValueError, match="'val' is not one of"):
        data.indices("val")
    with pytest.raises(ValueError, match="side is 4 pixels"):
        load(spec(folder), 4)


def test_bad_photographs_are_refused_or_left_out_never_replaced(folder, spec):
    for name in ("a/img1", "a/img2", "b/img0", "b/img4", "b/img5", "b/img7"):
        (folder / f"{name}.jpg").write_text("no photograph")
    with pytest.raises(BadPhotographs, match=r"^6 of 20 .*a/img1.jpg \(not an.*1 more.*--skip-bad"):
        load(spec(folder), 12)
    data = load(spec(folder), 12, skip_bad=True)
    assert len(data) == 14 == len(data.split) == len(data.digests) == len(data.pixels)
    assert "a/img1.jpg" not in data.photographs.paths
    assert next(iter(data.notes["left_out"])) == "a/img1.jpg"
    assert rows_match_files(data)


def test_a_class_that_is_all_bad_is_refused_even_with_skip_bad(folder, spec):
    for file in (folder / "b").iterdir():
        file.write_text("no photograph")
    with pytest.raises(DataError, match=r"class 'b' has no .*; 10 of 20 .* left out, first b/img0"):
        load(spec(folder), 12, skip_bad=True)
    for file in (folder / "a").iterdir():
        file.write_text("no photograph")
    with pytest.raises(DataError, match="20 of 20"):
        load(spec(folder), 12, skip_bad=True)


def test_rules_are_counted(folder, spec):
    with Image.open(folder / "a" / "img0.jpg") as image:
        image.convert("L").save(folder / "a" / "img0.jpg")
        image.save(folder / "a" / "img1.jpg", format="PNG")
    rules = load(spec(folder), 12).notes["rules"]
    assert rules == {
        "grey copied into three channels": 1,
        "format differs from what the file's suffix says": 1,
    }


def test_fingerprint_follows_content_split_and_labels_only(folder, spec, tmp_path):
    first = load(spec(folder), 12)
    assert load(spec(folder), 16).fingerprint == first.fingerprint
    assert load(spec(folder), 12, seed=1).fingerprint != first.fingerprint
    assert load(spec(folder, split_seed=1), 12).fingerprint != first.fingerprint
    folder.rename(tmp_path / "moved")
    moved = tmp_path / "moved"
    assert load(spec(moved), 12).fingerprint == first.fingerprint
    (moved / "a" / "img0.jpg").write_bytes((moved / "b" / "img0.jpg").read_bytes())
    changed = load(spec(moved), 12)
    assert changed.fingerprint != first.fingerprint
    (moved / "a").rename(moved / "c")
    assert load(spec(moved), 12).fingerprint != changed.fingerprint


def test_manifest_gives_the_same_data_set(folder, spec):
    data = load(spec(folder), 12)
    data.write_manifest(folder / "list.csv")
    again = load(spec(folder / "list.csv"), 12, seed=77)
    assert again.fingerprint == data.fingerprint
    assert np.array_equal(again.pixels, data.pixels)


def test_plates_and_their_manifest(spec, tmp_path):
    data = load(spec("plates", per_class=10, classes=["pizza", "pie"]), 16)
    assert data.notes["counts"] == {"train": 16, "validation": 4, "test": 100}
    data.write_manifest(tmp_path / "plates.csv")
    again = load(spec(tmp_path / "plates.csv"), 16)
    assert again.fingerprint == data.fingerprint
    assert np.array_equal(again.pixels, data.pixels)


def test_nothing_here_imports_torch():
    code = (
        "import sys, importlib, bakeoff.data as d\n"
        "from pkgutil import walk_packages as walk\n"
        "for m in walk(d.__path__, 'bakeoff.data.'): importlib.import_module(m.name)\n"
        "print(sorted({'torch', 'sklearn', 'requests', 'pooch'} & set(sys.modules)))"
    )
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout.strip() == "[]"
