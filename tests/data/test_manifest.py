"""The CSV source: tolerant of how it was saved, strict about what it says."""

from __future__ import annotations

import pytest

from bakeoff.data.manifest import write_manifest
from bakeoff.data.sources import DataError, find


@pytest.fixture
def photos(tmp_path, fill):
    return fill(tmp_path / "photos", {"a": 3, "b": 3})


def table(photos, *lines, encoding="utf-8"):
    file = photos / "list.csv"
    file.write_text("\n".join(lines) + "\n", encoding=encoding)
    return file


def test_all_columns(photos, spec):
    file = table(
        photos,
        "\ufeffpath,label,split,group",
        "a/img0.jpg,Äpfel,train,g1",
        "a/img1.jpg,Äpfel,VAL,",
        f"{photos}/a/img2.jpg, Äpfel ,test,",
        "",
        "b/img0.jpg,b,,g2",
        "./b/img1.jpg,b,valid,",
        "b/img2.jpg,b,test,",
    )
    found = find(spec(file))
    assert found.classes == ("b", "Äpfel")
    assert found.splits.tolist() == ["train", "validation", "test", "", "validation", "test"]
    assert found.groups == ("g1", "", "", "g2", "", "")
    assert found.paths[2] == f"{photos.as_posix()}/a/img2.jpg"
    assert found.paths[4] == "b/img1.jpg"
    assert all(found.file(row).is_file() for row in range(6))


def test_semicolons_and_further_columns(photos, spec):
    file = table(photos, "id;Label;Path", "1;x;a/img0.jpg", "2;y;b/img0.jpg")
    assert find(spec(file)).classes == ("x", "y")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["path,label,split", "a/img0.jpg,a,train", "b/img0.jpg,b,tset"], "line 3: 'tset' is no"),
        (["path,label,spilt", "a/img0.jpg,a,train"], "column 'spilt'; did you mean 'split'"),
        (["file,class", "a/img0.jpg,a"], "0 columns named 'path'"),
        (["path,label,label", "a/img0.jpg,a,b"], "2 columns named 'label'"),
        (["path,label", "a/img0.jpg,"], "line 2: the label is empty"),
        (["path,label", ",a"], "line 2: the path is empty"),
        (["path,label", "a/img0.jpg"], "line 2: the label is empty"),
        (["path,label", "a/img0.jpg,a", "b/img0.jpg,b", "./a/img0.jpg,b"], "line 4: .* line 2 too"),
        (["path,label", "a/img0.jpg,a", "gone.jpg,b"], "names files that are not there: gone.jpg"),
        (["path,label"], "names no photographs"),
        ([""], "0 columns named 'path'"),
        (["path,label", "a/img0.jpg,a", "a/img1.jpg,a"], "leaves 1 of the 1 classes"),
        (
            ["path,label,split", "a/img0.jpg,a,test", "b/img0.jpg,b,", "a/img1.jpg,a,"],
            "class 'b' has no photographs in the test split",
        ),
    ],
)
def test_refusals(photos, spec, lines, words):
    with pytest.raises(DataError, match=words):
        find(spec(table(photos, *lines)))


def test_another_encoding_is_named(photos, spec):
    file = table(photos, "path,label", "a/img0.jpg,Äpfel", encoding="latin-1")
    with pytest.raises(DataError, match="not UTF-8"):
        find(spec(file))


@pytest.mark.parametrize("beside", [True, False])
def test_written_and_read_back(photos, spec, tmp_path, beside):
    found = find(spec(photos))
    split = ["train", "validation", "test"] * 2
    file = (photos if beside else tmp_path) / "again.csv"
    if not beside:
        file = tmp_path / "run" / "again.csv"
        file.parent.mkdir()
    write_manifest(file, found, split)
    again = find(spec(file))
    assert again.classes == found.classes
    assert again.labels.tolist() == found.labels.tolist()
    assert again.splits.tolist() == split
    assert [again.file(row) for row in range(6)] == [found.file(row) for row in range(6)]
    assert (again.paths == found.paths) is beside
    assert [entry.name for entry in file.parent.glob("*.partial")] == []
