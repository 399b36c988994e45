"""A store in shards: the same pixels, made by several processes, kept at a kill, read a few."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch

from bakeoff import seeds
from bakeoff.data import pixels, shards, squares
from bakeoff.data.audit import audit
from bakeoff.data.dataset import load
from bakeoff.data.photographs import DataError
from bakeoff.data.pixels import open_store
from bakeoff.data.sources import find
from bakeoff.data.window import SPARE, Shards


@pytest.fixture
def photographs(tmp_path, fill, spec, monkeypatch):
    """List 100 photographs of 2 classes, of which 16 make a shard."""
    monkeypatch.setattr(shards, "PHOTOGRAPHS", 16)
    return find(spec(fill(tmp_path / "d", {"a": 60, "b": 40})))


@pytest.fixture
def one_process(monkeypatch):
    monkeypatch.setattr(shards, "threads", lambda: 1)


def folder_of(cache: Path) -> Path:
    (folder,) = (cache / "pixels").glob("*-shards")
    return folder


def made_at(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("shard-*.json")}


def test_shards_hold_what_one_file_would(photographs, cache):
    photographs.file(3).write_bytes(b"no image")
    photographs.file(70).unlink()
    told = []
    whole = open_store(photographs, 16, within=cache / "other")
    store = open_store(photographs, 16, window=32, progress=lambda *call: told.append(call))
    assert sorted(store.rows.tolist()) == whole.rows.tolist()
    assert store.rows.tolist() != whole.rows.tolist()
    assert store.bad == whole.bad
    assert len(store.bad) == 2
    place = {row: at for at, row in enumerate(whole.rows.tolist())}
    same = [place[row] for row in store.rows.tolist()]
    assert np.array_equal(store.pixels[np.arange(98)], whole.pixels[same])
    assert np.array_equal(store.pixels[97], whole.pixels[same[97]])
    assert np.array_equal(store.looks, whole.looks[same])
    assert store.entries == tuple(whole.entries[at] for at in same)
    assert store.pixels.shape == (98, 16, 16, 3)
    assert told[-1] == ("decoding", 100, 100)
    files = sorted(folder_of(cache).glob("pixels-*.npy"))
    assert [file.name for file in files] == [f"pixels-{n:05d}.npy" for n in range(7)]
    assert sum(len(np.load(file)) for file in files) == 98
    assert max(len(np.load(file)) for file in files) == 16


def test_neighbours_are_of_any_class_unless_they_are_already(photographs):
    order = shards.mixed(photographs)
    assert sorted(order.tolist()) == list(range(100))
    first = photographs.labels[order][:16]
    assert 0 < first.sum() < 16
    turns = photographs.take(np.arange(100).reshape(2, 50).T.ravel())
    assert shards.mixed(turns).tolist() == list(range(100))


def test_other_processes_decode(photographs, monkeypatch):
    def here(*_, **__):
        raise AssertionError("decoded in this process")

    monkeypatch.setattr(shards, "threads", lambda: 2)
    monkeypatch.setattr(shards, "made", here)
    monkeypatch.setattr(squares, "decode", here)
    assert open_store(photographs, 16, window=32).bad == {}


def test_a_second_opening_makes_nothing_and_a_torn_shard_alone_is_made_again(
    photographs, cache, one_process
):
    first = open_store(photographs, 16, window=32)
    folder = folder_of(cache)
    before = made_at(folder)
    assert open_store(photographs, 16, window=64).entries == first.entries
    assert made_at(folder) == before
    os.truncate(folder / "pixels-00003.npy", 300)
    again = open_store(photographs, 16, window=32)
    assert np.array_equal(again.pixels[np.arange(100)], first.pixels[np.arange(100)])
    changed = {name for name, when in made_at(folder).items() if when != before[name]}
    assert changed == {"shard-00003.json"}


BUILDER = """
import sys
from bakeoff.data import shards
from bakeoff.data.pixels import open_store
from bakeoff.data.sources import find
from bakeoff.data.spec import DataSpec

shards.PHOTOGRAPHS = 16
shards.threads = lambda: int(sys.argv[2])
open_store(
    find(DataSpec(source=sys.argv[1])),
    16,
    window=32,
    progress=lambda *call: print(call, flush=True),
)
"""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_whole_shards_outlast_a_kill(photographs, cache, processes, one_process):
    command = [sys.executable, "-c", BUILDER, str(photographs.root), processes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as builder:
        for _ in range(3):
            assert builder.stdout.readline().startswith("('decoding', ")
        builder.send_signal(signal.SIGKILL)
    (folder,) = (cache / "pixels").iterdir()
    time.sleep(1)  # workers see that nobody asks any more
    kept = made_at(folder)
    assert len(kept) >= 3
    assert not (folder / "index.json").exists()
    store = open_store(photographs, 16, window=32)
    assert {name: made_at(folder)[name] for name in kept} == kept
    right = open_store(photographs, 16, within=cache / "other")
    assert np.array_equal(store.pixels[np.arange(100)], right.pixels[store.rows])


def test_too_little_disk_is_refused_and_another_place_offered(photographs, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(pixels.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"need 0.0 GB .* data.window and BAKEOFF_STORES$"):
        open_store(photographs, 16, window=32)


def test_the_order_takes_every_row_once_and_few_shards_at_a_time():
    blocks = torch.arange(40).repeat_interleave(50)
    order = seeds.within(blocks, 4, seeds.generator("order", 0, 1))
    assert sorted(order.tolist()) == list(range(2000))
    seen = blocks[order].tolist()
    first = {block: seen.index(block) for block in range(40)}
    last = {block: 1999 - seen[::-1].index(block) for block in range(40)}
    in_use = [sum(first[b] <= at <= last[b] for b in range(40)) for at in range(2000)]
    assert max(in_use) == 4
    assert np.mean(in_use) > 3
    again = seeds.within(blocks, 4, seeds.generator("order", 0, 1))
    assert again.tolist() == order.tolist()
    other = seeds.within(blocks, 4, seeds.generator("order", 0, 2))
    assert sorted(first, key=first.get) != list(range(40))
    assert other.tolist() != order.tolist()
    whole = seeds.within(blocks, 40, seeds.generator("order", 0, 1))
    torch.randperm(40, generator=(generator := seeds.generator("order", 0, 1)))
    assert whole.tolist() == torch.randperm(2000, generator=generator).tolist()


def write_shards(folder: Path, number: int, count: int, side: int) -> Path:
    folder.mkdir()
    for shard in range(number):
        rows = np.full((count, side, side, 3), shard, dtype=np.uint8)
        rows[:, 0, 0, 0] = np.arange(count)
        np.save(folder / f"pixels-{shard:05d}.npy", rows)
    return folder


def test_an_epoch_opens_each_shard_once_and_a_pass_too(tmp_path):
    folder = write_shards(tmp_path / "s", 40, 50, 8)
    store = Shards(str(folder), folder, [50] * 40, 8, window=4 * shards.PHOTOGRAPHS)
    assert store.window == 4
    assert store.blocks.tolist() == [row // 50 for row in range(2000)]
    order = seeds.within(torch.from_numpy(store.blocks), 4, seeds.generator("order", 0, 0))
    for batch in order.split(32):
        got = store[batch.numpy()]
        assert got[:, 1, 1, 1].tolist() == (batch // 50).tolist()
        assert got[:, 0, 0, 0].tolist() == (batch % 50).tolist()
        assert len(store._maps) <= 4 + SPARE
    assert 40 <= store.opened <= 42
    for batch in torch.arange(2000).split(64):
        store[batch.numpy()]
    assert store.opened <= 82
    assert store[np.array([[0, 1], [2, 3]])].shape == (2, 2, 8, 8, 3)
    assert store[np.int64(1999)][0, 0, 0] == 49
    with pytest.raises(IndexError):
        store[2000]
    (folder / "pixels-00020.npy").unlink()
    with pytest.raises(DataError, match=r"shard 20 of .* is gone or damaged; the same command"):
        store[20 * 50]


READER = """
import sys
import numpy as np
from pathlib import Path
from bakeoff.data.window import Shards

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return max(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

window = int(sys.argv[2])
store = Shards(sys.argv[1], Path(sys.argv[1]), [256] * 40, 64, window * 512)
rng = np.random.default_rng(0)
keys = rng.permutation(40)[store.blocks] + store.window * rng.random(len(store))
order = np.argsort(keys)
before = resident()
total = 0
for start in range(0, len(order), 64):
    total += int(store[order[start : start + 64]][:, 1, 1, 1].sum())
print(total, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's memory from /proc")
def test_memory_is_that_of_the_window_not_of_the_store(tmp_path):
    folder = write_shards(tmp_path / "s", 40, 256, 64)  # 40 shards of 3 MiB
    grown = {}
    for window in (4, 40):
        command = [sys.executable, "-c", READER, str(folder), str(window)]
        total, grown[window] = subprocess.check_output(command, text=True).split()
        assert int(total) == 256 * sum(range(40))
    assert float(grown[40]) > 115  # all of it
    assert float(grown[4]) < (4 + SPARE) * 3 + 8


@pytest.fixture
def far(photographs, bucket, monkeypatch, cache, one_process):
    """Keep stores in a bucket, and of their shards only four (of seven) on this machine."""
    monkeypatch.setenv("BAKEOFF_STORES", f"{bucket}/stores")
    monkeypatch.setattr("bakeoff.data.window.AHEAD", 1)
    monkeypatch.setattr("bakeoff.data.window.AT_ONCE", 1)
    monkeypatch.setattr("bakeoff.data.window.SPARE", 1)
    monkeypatch.setenv("BAKEOFF_STORE_GB", str(4.5 * 16 * 16 * 16 * 3 / 1e9))
    return photographs


def kept(cache: Path) -> list[str]:
    return sorted(file.name for file in folder_of(cache).glob("pixels-*.npy"))


def held_bytes(cache: Path) -> int:
    held = 0
    for file in folder_of(cache).glob("pixels-*.npy"):
        with suppress(FileNotFoundError):  # those fetched ahead make room at the same time
            held += file.stat().st_size
    return held


def test_a_store_larger_than_the_disk_is_read_through_a_few_of_its_shards(far, cache):
    here = open_store(far, 16, within=cache / "other")
    store = open_store(far, 16, window=16)
    assert kept(cache) == []
    names = fsspec.filesystem("s3").ls(f"here/stores/{folder_of(cache).name}", detail=False)
    assert len(names) == 3 * 7
    for epoch in range(2):
        blocks = torch.from_numpy(store.pixels.blocks)
        order = seeds.within(blocks, 1, seeds.generator("order", 0, epoch)).numpy()
        store.pixels.expect(order)
        for batch in np.array_split(order, 20):
            assert np.array_equal(store.pixels[batch], here.pixels[store.rows[batch]])
            assert held_bytes(cache) <= 4.5 * 16 * 16 * 16 * 3
    assert 7 + 2 <= store.pixels.fetched <= 14 + 4


def test_a_shard_that_goes_while_room_is_counted_is_no_error(far, cache, monkeypatch):
    monkeypatch.delenv("BAKEOFF_STORE_GB", raising=False)
    store = open_store(far, 16, window=16)
    gone = folder_of(cache) / "pixels-00099.npy"  # is listed, and has no size
    gone.symlink_to(cache / "nowhere")
    assert len(store.pixels[np.arange(100)]) == 100
    assert gone.is_symlink()


def test_two_machines_share_a_place_and_its_work(far, cache, monkeypatch, tmp_path):
    first = open_store(far, 16, window=16)

    def again(*_, **__):
        raise AssertionError("decoded again")

    monkeypatch.setattr(squares, "decode", again)
    second = open_store(far, 16, window=16, within=tmp_path / "another machine's")
    assert second.entries == first.entries
    assert np.array_equal(second.pixels[np.arange(100)], first.pixels[np.arange(100)])


def test_a_shard_that_was_lost_far_away_is_said_and_made_again(far, cache):
    store = open_store(far, 16, window=16)
    lost = f"here/stores/{folder_of(cache).name}/pixels-00002.npy"
    fsspec.filesystem("s3").rm(lost)
    with pytest.raises(DataError, match=r"pixels-00002.npy is gone; the same command makes it"):
        store.pixels[np.arange(100)]
    assert len(open_store(far, 16, window=16).pixels[np.arange(100)]) == 100


def test_limits_that_cannot_hold_are_refused(far, monkeypatch):
    monkeypatch.setenv("BAKEOFF_STORE_GB", "much")
    with pytest.raises(DataError, match=r"BAKEOFF_STORE_GB: 'much' is not a number"):
        open_store(far, 16, window=16)
    monkeypatch.setenv("BAKEOFF_STORE_GB", "0.00002")
    with pytest.raises(DataError, match=r"lower data.window or raise BAKEOFF_STORE_GB$"):
        open_store(far, 16, window=16)
    with pytest.raises(DataError, match=r"BAKEOFF_STORES: s3://here/stores/\S+ may not be"):
        open_store(far, 17, window=16, offline=True)
    monkeypatch.setenv("BAKEOFF_STORES", "s3://nowhere/x")
    with pytest.raises(DataError, match=r"^BAKEOFF_STORES: s3://nowhere/x"):
        open_store(far, 18, window=16)


def test_a_data_set_in_shards_is_the_same_but_for_its_order(tmp_path, fill, spec):
    root = fill(tmp_path / "d", {"a": 30, "b": 20})
    whole, parted = load(spec(root), 16), load(spec(root, window=512), 16)
    assert isinstance(parted.pixels, Shards)
    assert parted.side == 16
    given = dict(zip(whole.photographs.paths, whole.split.tolist(), strict=True))
    assert dict(zip(parted.photographs.paths, parted.split.tolist(), strict=True)) == given
    assert parted.notes["counts"] == whole.notes["counts"]
    assert parted.fingerprint != whole.fingerprint
    assert parted.fingerprint == load(spec(root, window=512), 16).fingerprint
    assert parted.fingerprint != load(spec(root, window=1024), 16).fingerprint
    found = audit(spec(root, window=512), side=16)
    assert [f.kind for f in found.findings] == [f.kind for f in audit(spec(root), side=16).findings]
    row = parted.photographs.paths.index("a/img7.jpg")
    assert np.array_equal(
        parted.pixels[row], whole.pixels[whole.photographs.paths.index("a/img7.jpg")]
    )
    assert json.loads((parted.pixels._cache / "index.json").read_text())["counts"] == [50]
