"""Photographs at addresses: an object store read like a folder, its errors in one sentence."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest

from bakeoff.data import addresses
from bakeoff.data.audit import audit
from bakeoff.data.dataset import load
from bakeoff.data.photographs import DataError
from bakeoff.data.pixels import open_store
from bakeoff.data.sources import find
from bakeoff.data.thumbnails import thumbnails


def upload(folder: Path, address: str) -> str:
    """Copy a folder of this disk below an address."""
    system, root = fsspec.core.url_to_fs(address)
    for file in folder.rglob("*"):
        if file.is_file():
            system.pipe_file(f"{root}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    return address


@pytest.fixture
def photos(tmp_path, fill, bucket):
    return upload(fill(tmp_path / "photos", {"a": 12, "b 2": 11, "b 10": 10}), f"{bucket}/photos")


def test_a_bucket_is_read_like_the_folder_it_was_copied_from(tmp_path, photos, spec):
    here, there = load(spec(tmp_path / "photos"), 16), load(spec(photos), 16)
    assert there.classes == here.classes == ("a", "b 2", "b 10")
    assert there.photographs.paths == here.photographs.paths
    assert there.photographs.paths[-1] == "b 10/img9.jpg"
    assert there.photographs.name == here.photographs.name == "photos"
    assert np.array_equal(there.pixels, here.pixels)
    assert there.digests == here.digests
    assert there.split.tolist() == here.split.tolist()
    assert there.fingerprint == here.fingerprint


def test_split_folders_and_hidden_files_at_an_address(tmp_path, fill, bucket, spec):
    for split in ("train", "val"):
        fill(tmp_path / "d" / split, {"a": 2, "b": 2, ".hidden": 1})
    (tmp_path / "d" / "train" / "a" / "notes.txt").write_text("x")
    found = find(spec(upload(tmp_path / "d", f"{bucket}/deep/er") + "/"))
    assert found.paths == tuple(
        f"{split}/{name}/img{number}.jpg"
        for split in ("train", "val")
        for name in "ab"
        for number in (0, 1)
    )
    assert found.splits.tolist() == ["train"] * 4 + ["validation"] * 4


def test_an_object_that_changed_is_decoded_again(tmp_path, photos, spec):
    first = open_store(find(spec(photos)), 16)
    assert open_store(find(spec(photos)), 16).folder == first.folder
    other = (tmp_path / "photos" / "b 2" / "img0.jpg").read_bytes()
    fsspec.filesystem("s3").pipe_file("here/photos/a/img0.jpg", other)
    second = open_store(find(spec(photos)), 16)
    assert np.array_equal(second.pixels[0], first.pixels[12])
    assert np.array_equal(second.pixels[1:], first.pixels[1:])


def test_bad_objects_are_named_but_a_failing_store_is_not_their_fault(photos, spec, monkeypatch):
    system = fsspec.filesystem("s3")
    system.pipe_file("here/photos/a/img0.jpg", b"no image")
    found = find(spec(photos))
    system.rm("here/photos/a/img1.jpg")
    assert open_store(found, 16).bad == {
        "a/img0.jpg": "not an image, or of a format that is not read "
        "(JPEG, PNG, WebP, GIF, BMP, TIFF are)",
        "a/img1.jpg": "not there",
    }

    def breaks(*_, **__):
        return [TimeoutError("the line is dead")] * len(found)

    monkeypatch.setattr(system, "cat_ranges", breaks)
    with pytest.raises(DataError, match=r"s3://here/photos/\S+ cannot be read: the line is dead$"):
        open_store(found, 17)
    monkeypatch.undo()


def test_one_request_at_most_reads_a_photograph(photos, spec, monkeypatch):
    system, asked = fsspec.filesystem("s3"), []
    real = system.cat_ranges
    monkeypatch.setattr(
        system,
        "cat_ranges",
        lambda paths, *more, **k: asked.append(paths) or real(paths, *more, **k),
    )
    open_store(find(spec(photos)), 16)
    assert [len(paths) for paths in asked] == [33]


def test_a_check_and_a_page_read_from_where_the_photographs_lie(photos, spec):
    system = fsspec.filesystem("s3")
    system.pipe_file("here/photos/a/img0.jpg", system.cat("here/photos/a/img0.jpg") + bytes(10**6))
    found = audit(spec(photos), side=16)
    assert (found.photographs, found.good, found.megabytes) == (33, 33, 1.0)
    picture = thumbnails(spec(photos))
    assert picture("a/img0.jpg")[:2] == b"\xff\xd8"
    assert picture("a/img99.jpg") is None


def test_the_written_split_is_a_source_itself(tmp_path, photos, spec):
    first = load(spec(photos), 16)
    first.write_manifest(tmp_path / "split.csv")
    again = load(spec(tmp_path / "split.csv"), 16)
    assert again.photographs.paths[0] == "s3://here/photos/a/img0.jpg"
    assert again.split.tolist() == first.split.tolist()
    assert np.array_equal(again.pixels, first.pixels)
    again.write_manifest(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "split.csv").read_text()


def test_a_csv_file_beside_the_objects_it_names(tmp_path, photos, spec):
    rows = [f"a/img{n}.jpg,one" for n in range(3)] + [f"b 2/img{n}.jpg,two" for n in range(3)]
    system = fsspec.filesystem("s3")
    system.pipe_file("here/photos/list.csv", "\n".join(["path,label", *rows]).encode())
    found = find(spec(f"{photos}/list.csv"))
    assert found.paths == tuple(row.split(",")[0] for row in rows)
    assert found.classes == ("one", "two")
    assert open_store(found, 16).bad == {}
    system.pipe_file("here/photos/wrong.csv", b"path,label\na/img0.jpg,x\ngone.jpg,y\n")
    with pytest.raises(DataError, match=r"wrong.csv names files that are not there: gone.jpg$"):
        find(spec(f"{photos}/wrong.csv"))


def test_other_file_systems_give_the_same(tmp_path, fill, spec):
    root = fill(tmp_path / "photos", {"a": 2, "b": 2})
    upload(root, "memory://somewhere/photos")
    memory = find(spec("memory://somewhere/photos"), offline=True)
    disk = find(spec(root.as_uri()), offline=True)
    assert memory.paths == disk.paths == find(spec(root)).paths
    assert disk.pieces == {}
    assert np.array_equal(open_store(memory, 16).pixels, open_store(disk, 16).pixels)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://here/nothing", r"s3://here/nothing does not exist, or holds no files$"),
        ("s3://nowhere/x", r"s3://nowhere/x does not exist$"),
        ("s3://here/x.csv", r"s3://here/x.csv does not exist$"),
        ("s3://here/x-{0..3}.tar", r"s3://here/x-0.tar does not exist$"),
        ("http2://x/y", r"begins with http2://, which is not known; did you mean 'http'\?$"),
        ("file:///nowhere-at-all", r"/nowhere-at-all does not exist; allowed"),
        ("s3://me:word@here/photos", r"s3://me:\*\*\*@here"),
    ],
)
def test_bad_addresses_are_refused_in_a_sentence(bucket, spec, address, words):
    with pytest.raises(DataError, match=words) as raised:
        find(spec(address))
    assert "\n" not in str(raised.value)


def test_nothing_is_read_from_afar_offline(tmp_path, spec):
    with pytest.raises(DataError, match=r"s3://here/photos may not be read offline; go online"):
        find(spec("s3://here/photos"), offline=True)
    (tmp_path / "far.csv").write_text("path,label\ns3://here/a.jpg,a\ns3://here/b.jpg,b\n")
    with pytest.raises(DataError, match=r"s3://here may not be read offline"):
        find(spec(tmp_path / "far.csv"), offline=True)


def test_missing_keys_and_packages_are_named(bucket, spec, monkeypatch, tmp_path):
    from s3fs import S3FileSystem

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    S3FileSystem.clear_instance_cache()
    with pytest.raises(
        DataError, match=r"cannot be read: Unable to locate cred.*AWS_ACCESS_KEY_ID"
    ):
        find(spec("s3://here/photos"))
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(DataError, match=r"Install s3fs .* pip install 'bakeoff\[remote\]'$"):
        find(spec("s3://here/photos"))


def test_food101s_own_layout_is_not_mistaken_for_class_folders(tmp_path, fill, bucket, spec):
    fill(tmp_path / "f" / "images", {"a": 1, "b": 1})
    (tmp_path / "f" / "meta").mkdir()
    (tmp_path / "f" / "meta" / "train.txt").write_text("a/img0\n")
    address = upload(tmp_path / "f", f"{bucket}/f")
    with pytest.raises(DataError, match=r"give s3://here/f/images for its class folders"):
        find(spec(address))
    assert find(spec(f"{address}/images")).classes == ("a", "b")


def test_near_pieces_are_read_together(monkeypatch):
    system = fsspec.filesystem("memory")
    system.pipe_file("/one", bytes(range(200)))
    asked = []
    real = system.cat_ranges
    monkeypatch.setattr(
        system, "cat_ranges", lambda *args, **k: asked.append(args) or real(*args, **k)
    )
    pieces = [
        addresses.Piece("memory://one", start, size, "")
        for start, size in ((150, 9), (0, 3), (3, 4))
    ]
    assert addresses.contents_of(pieces) == [bytes(range(150, 159)), b"\0\1\2", b"\3\4\5\6"]
    assert asked == [(["/one"], [0], [159])]
    cut = addresses.contents_of([addresses.Piece("memory://one", 190, 20, "")])
    assert str(cut[0]) == "truncated since it was listed"
