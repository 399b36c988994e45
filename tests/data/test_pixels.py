"""The store: decoded once, found again, rebuilt when torn, safe among processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
from PIL import Image

from bakeoff.data import cache as caches
from bakeoff.data import squares as module
from bakeoff.data.photographs import DataError
from bakeoff.data.pixels import open_store
from bakeoff.data.sources import find
from bakeoff.data.squares import square


@pytest.fixture
def photographs(tmp_path, fill, spec):
    return find(spec(fill(tmp_path / "d", {"a": 5, "b": 4})))


@pytest.fixture
def never_decodes(monkeypatch):
    def forbid():
        def decode(*_, **__):
            raise AssertionError("decoded again")

        monkeypatch.setattr(module, "decode", decode)

    return forbid


def store_folder(cache):
    (folder,) = (cache / "pixels").iterdir()
    return folder


def test_rows_are_the_photographs(photographs):
    calls = []
    store = open_store(photographs, 16, progress=lambda *call: calls.append(call))
    assert store.pixels.shape == (9, 16, 16, 3)
    assert store.pixels.dtype == np.uint8
    assert isinstance(store.pixels, np.memmap)
    assert store.rows.tolist() == list(range(9))
    for row in (0, 8):
        file = photographs.file(row)
        with Image.open(file) as image:
            assert np.array_equal(store.pixels[row], square(image.convert("RGB"), 16))
        assert store.entries[row].digest == hashlib.sha256(file.read_bytes()).hexdigest()
        assert (store.entries[row].width, store.entries[row].height) == (24, 20)
    assert calls[-1] == ("decoding", 9, 9)
    with pytest.raises(ValueError, match="read-only"):
        store.pixels[0] = 0


def test_square_is_a_smooth_resize_and_a_centre_crop():
    noise = np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)
    wide = Image.fromarray(noise)
    whole = np.asarray(wide.resize((20, 10), Image.Resampling.BICUBIC))
    assert np.array_equal(square(wide, 10), whole[:, 5:15])
    tall = wide.transpose(Image.Transpose.TRANSPOSE)
    turned = whole[:, 5:15].transpose(1, 0, 2).astype(int)  # Pillow rounds after rows, then columns
    assert np.abs(square(tall, 10) - turned).max() <= 1
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    even = square(Image.fromarray(checks).convert("RGB"), 16)
    assert np.abs(even.astype(int) - 128).max() <= 8  # a resize that only picks pixels gives 0, 255
    assert square(Image.new("RGB", (3, 5), "red"), 16).shape == (16, 16, 3)


def test_second_opening_decodes_nothing(photographs, never_decodes):
    first = open_store(photographs, 16)
    never_decodes()
    second = open_store(photographs, 16)
    assert np.array_equal(first.pixels, second.pixels)
    assert first.entries == second.entries
    with pytest.raises(AssertionError, match="decoded again"):
        open_store(photographs, 17)


def test_a_changed_file_is_decoded_again(photographs, never_decodes):
    open_store(photographs, 16)
    file = photographs.file(3)
    os.utime(file, ns=(1, 1))
    never_decodes()
    with pytest.raises(AssertionError, match="decoded again"):
        open_store(photographs, 16)


@pytest.mark.parametrize(
    "tear",
    [
        lambda folder: (folder / "index.json").unlink(),
        lambda folder: (folder / "index.json").write_text('{"bytes": 1'),
        lambda folder: (folder / "index.json").write_text("[]"),
        lambda folder: (folder / "pixels.npy").unlink(),
        lambda folder: os.truncate(folder / "pixels.npy", 500),
        lambda folder: (folder / "pixels.npy").write_bytes(b""),
        lambda folder: (folder / "looks.npy").unlink(),
        lambda folder: os.truncate(folder / "looks.npy", 500),
        lambda folder: [file.unlink() for file in folder.iterdir()],
    ],
)
def test_a_torn_store_is_rebuilt(photographs, cache, tear):
    whole = np.array(open_store(photographs, 16).pixels)
    folder = store_folder(cache)
    tear(folder)
    assert np.array_equal(open_store(photographs, 16).pixels, whole)
    names = {file.name for file in store_folder(cache).iterdir()}
    assert names == {"index.json", "looks.npy", "pixels.npy"}
    assert store_folder(cache) == folder


def test_a_killed_build_leaves_nothing_that_looks_whole(photographs, cache, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "square", killed)
        with pytest.raises(KeyboardInterrupt):
            open_store(photographs, 16)
    assert list((cache / "pixels").iterdir()) == []
    assert len(open_store(photographs, 16).pixels) == 9


def test_what_was_abandoned_long_ago_is_swept(photographs, cache):
    old, young = cache / "pixels" / ".x.1.partial", cache / "pixels" / ".y.2.partial"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    open_store(photographs, 16)
    assert not old.exists()
    assert young.exists()


def test_bad_files_are_named_and_not_in_the_array(photographs, cache, never_decodes):
    photographs.file(0).write_bytes(b"")
    data = photographs.file(4).read_bytes()
    photographs.file(4).write_bytes(data[:-200])
    photographs.file(7).unlink()
    store = open_store(photographs, 16)
    assert store.rows.tolist() == [1, 2, 3, 5, 6, 8]
    assert store.pixels.shape == (6, 16, 16, 3)
    assert list(store.bad) == ["a/img0.jpg", "a/img4.jpg", "b/img2.jpg"]
    assert store.bad["a/img0.jpg"] == "empty file"
    assert "truncated" in store.bad["a/img4.jpg"]
    assert "not there" in store.bad["b/img2.jpg"]
    size = (store_folder(cache) / "pixels.npy").stat().st_size
    assert size == 128 + 6 * 16 * 16 * 3
    never_decodes()
    assert open_store(photographs, 16).bad == store.bad


def test_all_bad(photographs):
    for row in range(len(photographs)):
        photographs.file(row).write_bytes(b"no")
    store = open_store(photographs, 16)
    assert store.pixels.shape == (0, 16, 16, 3)
    assert len(store.bad) == 9
    assert len(open_store(photographs, 16).bad) == 9


def test_no_permission_is_a_reason_and_not_remembered(photographs, monkeypatch):
    real = type(photographs.file(0)).read_bytes

    def read_bytes(path):
        if path.name == "img4.jpg":
            raise PermissionError(13, "denied")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(type(photographs.file(0)), "read_bytes", read_bytes)
        photographs.file(4).chmod(0)
        assert open_store(photographs, 16).bad == {"a/img4.jpg": "no permission to read it"}
    photographs.file(4).chmod(0o644)
    assert open_store(photographs, 16).bad == {}


def test_the_array_is_an_ordinary_npy_file(photographs, cache):
    open_store(photographs, 16)
    array = np.load(store_folder(cache) / "pixels.npy")
    assert array.shape == (9, 16, 16, 3)
    index = json.loads((store_folder(cache) / "index.json").read_text())
    assert len(index["entries"]) == 9


def test_a_full_disk_is_refused_before_decoding(photographs, monkeypatch, cache):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    with pytest.raises(DataError, match=r"need 0.0 GB .* BAKEOFF_CACHE"):
        open_store(photographs, 16)
    assert list((cache / "pixels").iterdir()) == []


BUILDER = """
import hashlib, sys, time
from pathlib import Path
from bakeoff.data.pixels import open_store
from bakeoff.data.sources import find
from bakeoff.data.spec import DataSpec

photographs = find(DataSpec(source=sys.argv[1]))
print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    time.sleep(0.001)
for _ in range(5):
    print(hashlib.sha256(open_store(photographs, 16).pixels.tobytes()).hexdigest())
"""


@pytest.mark.parametrize("torn", [False, True])
def test_processes_build_the_same_store_at_once(photographs, cache, tmp_path, torn):
    right = hashlib.sha256(open_store(photographs, 16, within=tmp_path).pixels.tobytes())
    if torn:
        open_store(photographs, 16)
        os.truncate(store_folder(cache) / "pixels.npy", 300)
    command = [sys.executable, "-c", BUILDER, str(photographs.root), str(tmp_path / "go")]
    builders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for builder in builders:
        assert builder.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    answers = [builder.communicate(timeout=30)[0].split() for builder in builders]
    assert answers == [[right.hexdigest()] * 5] * 4
    assert len(list((cache / "pixels").iterdir())) == 1


def test_publishing_second_says_so(tmp_path):
    final = tmp_path / "final"
    with caches.written_aside(final) as first, caches.written_aside(final) as second:
        (first / "x").write_text("first")
        (second / "x").write_text("second")
        assert caches.publish(first, final)
        assert not caches.publish(second, final)
    assert (final / "x").read_text() == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["final"]


def test_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("BAKEOFF_CACHE", str(tmp_path))
    assert caches.cache_dir() == tmp_path
    monkeypatch.delenv("BAKEOFF_CACHE")
    assert caches.cache_dir().name == "bakeoff"
