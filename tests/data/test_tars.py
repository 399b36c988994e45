"""Photographs in tar shards: WebDataset's and class folders, here and far away; hostile ones."""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import tarfile
import warnings
from pathlib import Path

import fsspec
import numpy as np
import pytest
import webdataset

from bakeoff.data import members
from bakeoff.data.dataset import load
from bakeoff.data.photographs import DataError
from bakeoff.data.pixels import open_store
from bakeoff.data.sources import find


def jpeg(fill, folder: Path, number: int = 0) -> bytes:
    return (fill(folder, {"some": number + 1}) / "some" / f"img{number}.jpg").read_bytes()


def pack(file: Path, *entries: tuple[str, bytes]) -> Path:
    """Write a tar with these members, by tarfile itself."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


@pytest.fixture
def shards(tmp_path, fill):
    """Write three shards as WebDataset does: 30 photographs, the classes 2 and 10 in turns."""
    folder = fill(tmp_path / "files", {"2": 15, "10": 15})
    (tmp_path / "shards").mkdir()
    for shard in range(3):
        with webdataset.TarWriter(str(tmp_path / "shards" / f"photos-{shard:03d}.tar")) as writer:
            for number in range(5 * shard, 5 * shard + 5):
                for label in (2, 10):
                    photograph = (folder / str(label) / f"img{number}.jpg").read_bytes()
                    sample = {"__key__": f"{label}/s{number}", "jpg": photograph, "cls": label}
                    writer.write({**sample, "txt": "a caption"})
    return tmp_path / "shards"


def test_shards_that_webdataset_wrote(tmp_path, shards, spec):
    found = find(spec(shards))
    assert found.classes == ("2", "10")
    assert len(found) == 30
    assert found.paths[:3] == (
        "photos-000.tar/2/s0.jpg",
        "photos-000.tar/10/s0.jpg",
        "photos-000.tar/2/s1.jpg",
    )
    assert found.labels.tolist() == [0, 1] * 15
    assert set(found.splits.tolist()) == {""}
    store = open_store(found, 16)
    files = open_store(find(spec(tmp_path / "files")), 16)
    assert store.bad == {}
    assert np.array_equal(store.pixels[0::2], files.pixels[:15])
    assert np.array_equal(store.pixels[1::2], files.pixels[15:])
    assert [entry.digest for entry in store.entries[0::2]] == [
        entry.digest for entry in files.entries[:15]
    ]


def test_it_reads_what_webdataset_reads(shards, spec):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves its files open
        theirs = webdataset.WebDataset(
            [str(file) for file in sorted(shards.iterdir())], shardshuffle=False
        )
        samples = [(sample["__key__"], int(sample["cls"]), sample["jpg"]) for sample in theirs]
        del theirs
        gc.collect()
    found = find(spec(shards))
    ours = []
    for row, path in enumerate(found.paths):
        piece = found.piece(row)
        content = Path(piece.address).read_bytes()[piece.start : piece.start + piece.size]
        key = path.partition(".tar/")[2].removesuffix(".jpg")
        ours.append((key, int(found.classes[found.labels[row]]), content))
    assert ours == samples


@pytest.mark.parametrize("name", ["photos-{000..002}.tar", "photos-*.tar"])
def test_shards_by_a_pattern(shards, spec, name):
    assert find(spec(shards / name)).paths == find(spec(shards)).paths


def test_one_shard_alone_and_one_that_is_not_there(shards, spec):
    assert find(spec(shards / "photos-{001..001}.tar")).paths[0] == "photos-001.tar/2/s5.jpg"
    assert len(find(spec(shards / "photos-002.tar"))) == 10
    with pytest.raises(DataError, match=r"photos-003.tar does not exist$"):
        find(spec(shards / "photos-{002..003}.tar"))
    with pytest.raises(DataError, match=r"names more than 1000000 tars"):
        find(spec(shards / "photos-{0..99999999}.tar"))


def test_shards_in_an_object_store(shards, bucket, spec):
    system = fsspec.filesystem("s3")
    for file in sorted(shards.iterdir()):
        system.pipe_file(f"here/far/{file.name}", file.read_bytes())
    here = load(spec(shards), 16)
    for source in ("far", "far/photos-{000..002}.tar", "far/photos-*.tar"):
        there = load(spec(f"{bucket}/{source}"), 16)
        assert there.fingerprint == here.fingerprint
        assert np.array_equal(there.pixels, here.pixels)


def test_members_are_listed_once(shards, spec, monkeypatch):
    first = find(spec(shards))

    def again(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(members, "_scanned", again)
    assert find(spec(shards)).pieces == first.pieces
    os.utime(shards / "photos-001.tar", ns=(1, 1))
    with pytest.raises(AssertionError, match="read again"):
        find(spec(shards))


def test_the_written_split_is_a_source_itself(tmp_path, shards, spec):
    first = load(spec(shards), 16)
    first.write_manifest(tmp_path / "split.csv")
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[1].startswith(f"tar://2/s0.jpg::{shards.as_posix()}/photos-000.tar,2,")
    again = load(spec(tmp_path / "split.csv"), 16)
    assert np.array_equal(again.pixels, first.pixels)
    assert again.split.tolist() == first.split.tolist()
    again.write_manifest(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "split.csv").read_text()
    text = (tmp_path / "split.csv").read_text().replace(f"::{shards.as_posix()}/", "::")
    (shards / "beside.csv").write_text(text)
    assert np.array_equal(load(spec(shards / "beside.csv"), 16).pixels, first.pixels)
    (shards / "gone.csv").write_text("path,label\ntar://2/s99.jpg::photos-000.tar,a\n")
    (shards / "gone.csv").write_text(text + "tar://2/s99.jpg::photos-000.tar,10,train,\n")
    with pytest.raises(DataError, match=r"not there: tar://2/s99.jpg::photos-000.tar$"):
        find(spec(shards / "gone.csv"))


def test_class_folders_in_tars(tmp_path, fill, spec):
    root = fill(tmp_path / "food", {"pie": 3, "soup": 2})
    for number, name in enumerate(("pie", "soup")):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            tar.add(root / name, arcname=f"./food/{name}")
    found = find(spec(tmp_path / "{0..1}.tar"))
    assert found.classes == ("pie", "soup")
    assert sorted(found.paths) == [
        "0.tar/food/pie/img0.jpg",
        "0.tar/food/pie/img1.jpg",
        "0.tar/food/pie/img2.jpg",
        "1.tar/food/soup/img0.jpg",
        "1.tar/food/soup/img1.jpg",
    ]
    with tarfile.open(tmp_path / "whole.tar", "w") as tar:
        for split in ("train", "val"):
            for name in ("pie", "soup"):
                tar.add(root / name, arcname=f"{split}/{name}")
    whole = find(spec(tmp_path / "whole.tar"))
    assert whole.classes == ("pie", "soup")
    assert sorted(whole.splits.tolist()) == ["train"] * 5 + ["validation"] * 5


def test_splits_by_the_names_of_shards(tmp_path, fill, spec):
    photograph = jpeg(fill, tmp_path)
    for split in ("train", "validation"):
        for label in (0, 1):
            pack(
                tmp_path / "s" / f"food-{split}-{label}.tar",
                (f"x{label}.jpg", photograph),
                (
                    f"x{label}.json",
                    json.dumps({"label": label, "class_name": "ab"[label]}).encode(),
                ),
            )
    found = find(spec(tmp_path / "s"))
    assert found.classes == ("a", "b")
    assert found.splits.tolist() == ["train", "train", "validation", "validation"]
    pack(tmp_path / "s" / "train-test.tar", ("x.jpg", photograph), ("x.cls", b"a"))
    with pytest.raises(DataError, match=r"train-test.tar names two splits, test and train$"):
        find(spec(tmp_path / "s"))


def test_a_folder_of_class_folders_with_a_stray_tar_stays_one(tmp_path, fill, spec):
    root = fill(tmp_path / "d", {"a": 1, "b": 1})
    pack(root / "download.tar", ("x.jpg", b"x"))
    assert find(spec(root)).paths == ("a/img0.jpg", "b/img0.jpg")


def test_labels_beside_photographs(tmp_path, fill, spec):
    photograph = jpeg(fill, tmp_path)
    both = pack(
        tmp_path / "both.tar",
        ("b.json", b'{"label": 7}'),
        ("b.cls", b" nine\n"),
        ("b.jpg", photograph),
        ("c.png", photograph),
        ("c.json", b'{"class": "ten", "label": 3}'),
    )
    assert find(spec(both)).classes == ("nine", "ten")
    bare = pack(tmp_path / "bare.tar", ("a.jpg", b""), ("a.cls", b"1"), ("b.jpg", b""))
    with pytest.raises(DataError, match=r"bare has 1 images without a class .*: bare.tar/b.jpg$"):
        find(spec(bare))
    two = pack(tmp_path / "two.tar", ("a.jpg", b""), ("a.png", b""), ("a.cls", b"1"))
    with pytest.raises(DataError, match=r"two.tar of two holds two images named 'a'; one a sample"):
        find(spec(two))
    odd = pack(tmp_path / "odd.tar", ("a.jpg", b""), ("a.json", b"[1]"), ("b.cls", b"2"))
    with pytest.raises(DataError, match=r"1 images without a class beside them, as .cls or as"):
        find(spec(odd))
    none = pack(tmp_path / "none.tar", ("a.txt", b"x"))
    with pytest.raises(DataError, match=r"the tar files of none hold no images$"):
        find(spec(none))


def test_a_damaged_photograph_in_a_shard_is_named(tmp_path, fill, spec):
    photograph = jpeg(fill, tmp_path)
    file = pack(
        tmp_path / "x.tar",
        *((f"{n}.jpg", photograph[: None if n else 300]) for n in range(4)),
        *((f"{n}.cls", str(n % 2).encode()) for n in range(4)),
    )
    bad = open_store(find(spec(file)), 16).bad
    assert list(bad) == ["x.tar/0.jpg"]
    assert "truncated" in bad["x.tar/0.jpg"].lower()


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


HOSTILE = {
    "absolute": (tarfile.TarInfo("/etc/x.jpg"), r"unsafe name '/etc/x.jpg'"),
    "outside": (tarfile.TarInfo("a/../../x.jpg"), r"unsafe name 'a/../../x.jpg'"),
    "escape": (tarfile.TarInfo("a/\x1b[2Jx.jpg"), r"unsafe name 'a/\\x1b"),
    "symlink": (special("a/x.jpg", tarfile.SYMTYPE, "/etc/passwd"), r"'a/x.jpg' as a link"),
    "hardlink": (special("a/x.jpg", tarfile.LNKTYPE, "a/y.jpg"), r"'a/x.jpg' as a link"),
    "device": (special("a/x.jpg", tarfile.BLKTYPE), r"'a/x.jpg', which is no plain file"),
    "pipe": (special("a/x.cls", tarfile.FIFOTYPE), r"'a/x.cls', which is no plain file"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_members_are_refused_and_nothing_is_written(tmp_path, spec, what):
    member, words = HOSTILE[what]
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(member)
    with pytest.raises(DataError, match=rf"data.source: \S+x.tar holds .*{words}") as raised:
        find(spec(tmp_path / "x.tar"))
    assert "\n" not in str(raised.value)
    assert {file.name for file in tmp_path.iterdir()} == {"x.tar"}


def header(name: str, **fields: object) -> bytes:
    """Return one raw header block with fields that tarfile's writer would not write."""
    member = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    return member.tobuf(tarfile.GNU_FORMAT)


END = bytes(1024)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            header("x.jpg", size=2**62) + END,
            r"x.tar is cut short: 'x.jpg' has 4611686018427387904 b",
        ),
        (header("x.jpg", size=1500) + END, r"x.tar is (no tar|cut short)"),
        (header("x.jpg", size=-1024) + END, r"x.tar is (no tar|cut short)"),
        (header("x.jpg", size=10**6, type=tarfile.XHDTYPE) + END, r"x.tar is no tar file"),
        (header("x", size=2**30, type=tarfile.XHDTYPE) + bytes(2**11), r"a header of 1073741824"),
        (header("x", size=2**30, type=tarfile.GNUTYPE_LONGNAME) + END, r"a header of 1073741824"),
        (header("x.jpg") + b"\xff" * 512 + END, r"is damaged or cut short at byte 512 of"),
        (header("x.jpg"), r"is damaged or cut short at byte 512 of 512"),
        (header("x.jpg", type=tarfile.GNUTYPE_SPARSE) + END, r"'x.jpg', which is no plain file"),
        (header("x.jpg") * 2 + END, r"holds 'x.jpg' twice"),
        (header("x.cls", size=2**20 + 1) + bytes(2**20 + 512) + END, r"too large for a class"),
        (header("x.cls") + END, r"holds 'x.cls' without a class in it"),
        (b"", r"x.tar is no tar file"),
        (b"\xff\xd8" + bytes(2000), r"x.tar is no tar file"),
        (gzip.compress(header("x.jpg") + END, mtime=0), r"x.tar is compressed, .* decompress it"),
    ],
)
def test_damaged_and_forged_tars_are_refused(tmp_path, spec, content, words):
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match=words) as raised:
        find(spec(tmp_path / "x.tar"))
    assert "\n" not in str(raised.value)


def test_a_tar_that_was_cut_anywhere_is_refused(tmp_path, fill, spec):
    photograph = jpeg(fill, tmp_path)
    entries = [
        (f"{n}.{kind}", body)
        for n in range(3)
        for kind, body in (("jpg", photograph), ("cls", b"1"))
    ]
    whole = pack(tmp_path / "whole.tar", *entries).read_bytes()
    end = len(whole.rstrip(b"\0"))
    for size in [1, 511, *range(512, end, 700), (end // 512 + 1) * 512]:
        (tmp_path / f"cut-{size}.tar").write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"cut short|no tar file"):
            find(spec(tmp_path / f"cut-{size}.tar"))


def test_a_tar_cut_after_it_was_listed_gives_bad_photographs(shards, spec):
    found = find(spec(shards))
    os.truncate(shards / "photos-002.tar", 2048)
    bad = open_store(found, 16).bad
    assert len(bad) == 10 or list(bad)[-1].startswith("photos-002.tar")
    assert set(bad.values()) == {"truncated since it was listed"}
