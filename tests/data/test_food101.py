"""The official layout, its class order, and a download that is whole or not there."""

from __future__ import annotations

import hashlib
import http.server
import tarfile
import threading
from functools import partial
from pathlib import Path

import pytest

from bakeoff.data import food101
from bakeoff.data.photographs import DataError
from bakeoff.data.sources import find

REPORT = (
    "baby_back_ribs beignets caesar_salad cheesecake chocolate_cake crab_cakes donuts falafel "
    "french_onion_soup garlic_bread guacamole huevos_rancheros lobster_roll_sandwich nachos paella "
    "pizza ramen sashimi spaghetti_carbonara tacos"
)


@pytest.fixture
def official(fill):
    """Write a copy with two training and one test photograph a class."""

    def write(root, names):
        fill(root / "images", dict.fromkeys(names, 3))
        (root / "meta").mkdir()
        lists = {
            "classes": names,
            "train": [f"{name}/img{number}" for name in names for number in (0, 1)],
            "test": [f"{name}/img2" for name in names],
        }
        for name, lines in lists.items():
            (root / "meta" / f"{name}.txt").write_text("\n".join(lines) + "\n")
        return root

    return write


def test_the_order_is_the_official_one():
    order = food101.OFFICIAL_ORDER
    assert len(order) == len(set(order)) == 101
    assert order.index("cheesecake") == 16 == order.index("cheese_plate") - 1
    assert sorted(order) != list(order)
    assert " ".join(order[1::5]) == REPORT


def test_every_counts_in_the_official_order_where_only_some_are_on_disk(official, spec, tmp_path):
    root = official(tmp_path / "food-101", sorted(REPORT.split()))
    for source in (root, tmp_path):
        found = find(spec(source, classes={"every": 5, "from": 1}))
        assert " ".join(found.classes) == REPORT
        assert found.splits.tolist() == ["train"] * 40 + ["test"] * 20
        assert found.file(0).is_file()
    assert find(spec(root)).classes == tuple(REPORT.split())


def test_absent_classes_are_named(official, spec, tmp_path):
    root = official(tmp_path / "d", ["pizza", "tacos", "apple_pie"])
    with pytest.raises(
        DataError, match=r"takes baby_back_ribs, beignets.* there: apple_pie, pizza"
    ):
        find(spec(root, classes={"every": 5, "from": 1}))
    with pytest.raises(DataError, match=r"takes sushi, of which"):
        find(spec(root, classes=["pizza", "sushi"]))
    with pytest.raises(DataError, match=r"'pizzza' is not a class .* mean 'pizza'"):
        find(spec(root, classes=["pizzza", "sushi"]))


def test_a_layout_of_ones_own_keeps_its_own_order(official, spec, tmp_path):
    root = official(tmp_path / "d", ["zebra", "ant", "moth"])
    assert find(spec(root)).classes == ("zebra", "ant", "moth")
    assert find(spec(root, classes={"every": 2})).classes == ("zebra", "moth")


def test_broken_layouts_are_refused(official, spec, tmp_path):
    root = official(tmp_path / "d", ["pizza", "tacos"])
    (root / "images" / "pizza" / "img2.jpg").unlink()
    with pytest.raises(DataError, match=r"not there: images/pizza/img2.jpg"):
        find(spec(root))
    (root / "meta" / "test.txt").write_text("tacos/img2\n")
    with pytest.raises(DataError, match=r"class 'pizza' has no photographs in the test split"):
        find(spec(root))
    (root / "meta" / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"classes.txt is missing"):
        find(spec(root))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class _Interrupted(_Quiet):
    """Promises the whole archive and hangs up after half of it."""

    def do_GET(self):
        body = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(handler=_Quiet):
        handled = partial(handler, directory=str(tmp_path / "served"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handled)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/food-101.tar.gz"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def archive(official, tmp_path):
    root = official(tmp_path / "made" / "food-101", ["pizza", "tacos"])
    file = tmp_path / "served" / "food-101.tar.gz"
    file.parent.mkdir()
    with tarfile.open(file, "w:gz") as tar:
        tar.add(root, "food-101")
    return "md5:" + hashlib.md5(file.read_bytes()).hexdigest()


def test_download_once(archive, serve, tmp_path, spec, cache):
    calls = []
    url = serve()
    root = food101.fetch(url=url, known_hash=archive, progress=lambda *call: calls.append(call))
    assert root == cache / "food-101"
    assert [entry.name for entry in cache.iterdir()] == ["food-101"]
    assert {call[0] for call in calls} == {"downloading", "unpacking"}
    assert all(done <= total for _, done, total in calls)
    (tmp_path / "served" / "food-101.tar.gz").unlink()
    assert food101.fetch(url=url, known_hash=archive) == root
    assert find(spec("food101"), offline=True).classes == ("pizza", "tacos")


def test_offline_is_refused_in_a_sentence(spec):
    with pytest.raises(DataError, match=r"food101 is not in .* may not be downloaded offline"):
        find(spec("food101"), offline=True)


def test_wrong_hash(archive, serve, cache):
    with pytest.raises(DataError, match=r"has not the known hash md5:0000"):
        food101.fetch(url=serve(), known_hash="md5:" + "0" * 32)
    assert list(cache.iterdir()) == []


def test_interrupted_download(archive, serve, cache):
    with pytest.raises(DataError, match=r"download of .* failed|known hash"):
        food101.fetch(url=serve(_Interrupted), known_hash=archive)
    assert list(cache.iterdir()) == []
    assert food101.fetch(url=serve(), known_hash=archive).is_dir()


def test_absent_archive(serve, cache, tmp_path):
    (tmp_path / "served").mkdir()
    with pytest.raises(DataError, match=r"failed: 404"):
        food101.fetch(url=serve(), known_hash="md5:0")


def test_interrupted_unpacking(archive, serve, cache, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extract", lambda *_, **__: killed())
        with pytest.raises(KeyboardInterrupt):
            food101.fetch(url=serve(), known_hash=archive)
    assert not (cache / "food-101").exists()
    assert food101.fetch(url=serve(), known_hash=archive).is_dir()


def test_an_archive_of_something_else(serve, cache, tmp_path):
    file = tmp_path / "served" / "food-101.tar.gz"
    file.parent.mkdir()
    with tarfile.open(file, "w:gz") as tar:
        tar.add(__file__, "test.py")
    digest = "md5:" + hashlib.md5(file.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="holds no images/"):
        food101.fetch(url=serve(), known_hash=digest)
    assert not (cache / "food-101").exists()
