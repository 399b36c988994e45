"""Folders and split folders: what is found, in what order, and what is refused in which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bakeoff.data.sources import DataError, find


def test_class_folders_give_one_class_map_in_natural_order(tmp_path, fill, spec):
    fill(tmp_path / "d", {"dish 10": 2, "dish 2": 11, "Dish 1": 1})
    found = find(spec(tmp_path / "d"))
    assert found.classes == ("Dish 1", "dish 2", "dish 10")
    assert found.labels.tolist() == [0] + [1] * 11 + [2] * 2
    assert found.paths[:3] == ("Dish 1/img0.jpg", "dish 2/img0.jpg", "dish 2/img1.jpg")
    assert found.paths[11] == "dish 2/img10.jpg"
    assert set(found.splits.tolist()) == {""}
    assert all(found.file(row).is_file() for row in range(len(found)))


def test_subset_keeps_rows_together(tmp_path, fill, spec):
    found = find(spec(fill(tmp_path / "d", {"a": 2, "b": 2})))
    taken = found.take([3, 0])
    assert taken.paths == ("b/img1.jpg", "a/img0.jpg")
    assert taken.labels.tolist() == [1, 0]
    assert taken.classes == found.classes


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (("train", "val", "test"), {"train", "validation", "test"}),
        (("Train", "Valid"), {"train", "validation"}),
        (("TRAIN", "Test"), {"train", "test"}),
        (("train", "validation"), {"train", "validation"}),
        (("train",), {"train"}),
    ],
)
def test_split_folders(tmp_path, fill, spec, names, given):
    for name in names:
        fill(tmp_path / "d" / name, {"a": 2, "b": 3})
    found = find(spec(tmp_path / "d"))
    assert set(found.splits.tolist()) == given
    assert found.classes == ("a", "b")
    assert len(found) == 5 * len(names)


def test_a_class_may_be_called_train(tmp_path, fill, spec):
    found = find(spec(fill(tmp_path / "d", {"car": 1, "plane": 1, "train": 1})))
    assert found.classes == ("car", "plane", "train")


def test_what_is_no_photograph_is_ignored(tmp_path, fill, spec):
    root = fill(tmp_path / "d", {"a": 1, "b": 1, ".hidden": 1, "__MACOSX": 1})
    (root / "a" / "notes.txt").write_text("x")
    (root / "a" / ".thumb.jpg").write_text("x")
    (root / "README.png").write_text("x")
    (root / "b" / "LOUD.JPEG").write_bytes((root / "b" / "img0.jpg").read_bytes())
    found = find(spec(root))
    assert found.classes == ("a", "b")
    assert found.paths == ("a/img0.jpg", "b/img0.jpg", "b/LOUD.JPEG")


def test_links_are_followed_but_not_in_circles(tmp_path, fill, spec):
    root = fill(tmp_path / "d", {"a": 1, "b": 1, "b/deep": 1})
    fill(tmp_path, {"elsewhere": 2})
    (root / "a" / "linked.jpg").symlink_to(tmp_path / "elsewhere" / "img0.jpg")
    (root / "a" / "other").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "circle").symlink_to(root / "a")
    (root / "b" / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    assert find(spec(root)).paths == (
        "a/img0.jpg",
        "a/linked.jpg",
        "a/other/img0.jpg",
        "a/other/img1.jpg",
        "b/deep/img0.jpg",
        "b/img0.jpg",
        "b/nowhere.jpg",
    )


def test_classes_chosen_by_name_and_by_step(tmp_path, fill, spec):
    root = fill(tmp_path / "d", dict.fromkeys("abcdefg", 1))
    assert find(spec(root, classes=["f", "b"])).classes == ("b", "f")
    assert find(spec(root, classes={"every": 3, "from": 1})).classes == ("b", "e")
    assert find(spec(root, classes="all")).classes == tuple("abcdefg")


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["pizza", "tacoss"], "'tacoss' is not a class of this source; did you mean 'tacos'"),
        (["pizza", "xyz"], "allowed: pizza, ramen, tacos"),
        (["pizza", "pizza"], "names 'pizza' 2 times"),
        (["pizza"], "leaves 1 of the 3 classes"),
        ({"every": 3, "from": 7}, "leaves 0 of the 3 classes"),
    ],
)
def test_classes_refused(tmp_path, fill, spec, classes, words):
    root = fill(tmp_path / "d", {"pizza": 1, "ramen": 1, "tacos": 1})
    with pytest.raises(DataError, match=words):
        find(spec(root, classes=classes))


def test_an_empty_class_that_was_not_chosen_does_no_harm(tmp_path, fill, spec):
    root = fill(tmp_path / "d", {"a": 1, "b": 1, "empty": 0})
    assert find(spec(root, classes=["a", "b"])).classes == ("a", "b")
    with pytest.raises(DataError, match=r"class folder .*empty holds no images \(jpg, jpeg, png"):
        find(spec(root))


def test_refusals_name_the_thing_and_what_is_allowed(tmp_path, fill, spec):
    with pytest.raises(DataError, match=r"data.source is empty; allowed: a folder"):
        find(spec(""))
    with pytest.raises(DataError, match=r"plate does not exist; did you mean 'plates'"):
        find(spec("plate"))
    with pytest.raises(DataError, match=r"nowhere-at-all does not exist; allowed: a folder"):
        find(spec("nowhere-at-all"))
    (tmp_path / "x.zip").write_text("")
    with pytest.raises(DataError, match=r"x.zip is a file, but no .csv"):
        find(spec(tmp_path / "x.zip"))
    (tmp_path / "void").mkdir()
    with pytest.raises(DataError, match=r"void holds no images; needed is one folder a class"):
        find(spec(tmp_path / "void"))
    fill(tmp_path, {"flat": 3})
    with pytest.raises(DataError, match=r"flat holds 3 images but no class folders"):
        find(spec(tmp_path / "flat"))
    fill(tmp_path / "lone", {"a": 3})
    with pytest.raises(DataError, match=r"leaves 1 of the 1 classes in .*lone \(a\)"):
        find(spec(tmp_path / "lone"))


def test_split_folders_refused(tmp_path, fill, spec):
    fill(tmp_path / "d" / "train", {"a": 1, "b": 1})
    fill(tmp_path / "d" / "test", {"a": 1})
    with pytest.raises(DataError, match=r"class 'b' has no photographs in the test split"):
        find(spec(tmp_path / "d"))
    fill(tmp_path / "d" / "test", {"b": 1, "c": 1})
    with pytest.raises(DataError, match=r"class 'c' has no photographs in the train split"):
        find(spec(tmp_path / "d"))
    assert find(spec(tmp_path / "d", classes=["a", "b"])).classes == ("a", "b")
    fill(tmp_path / "d" / "extra", {"a": 1})
    with pytest.raises(DataError, match=r"beside its split folders .* has extra"):
        find(spec(tmp_path / "d"))
    fill(tmp_path / "e" / "val", {"a": 1})
    fill(tmp_path / "e" / "valid", {"a": 1})
    with pytest.raises(DataError, match=r"both val/ and valid/, which both mean validation"):
        find(spec(tmp_path / "e"))
    fill(tmp_path / "f" / "test", {"a": 1})
    fill(tmp_path / "f" / "trian", {"a": 1})
    fill(tmp_path / "f" / "val", {"a": 1})
    with pytest.raises(DataError, match=r"but no train/; did you mean 'trian'"):
        find(spec(tmp_path / "f"))


def test_a_folder_without_permission_is_named(tmp_path, fill, spec, monkeypatch):
    root = fill(tmp_path / "d", {"a": 1, "b": 1})
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"no permission to read the folder .*b$"):
        find(spec(root))
