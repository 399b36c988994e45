"""Copies are found however they were made, strangers are not, and splits keep them together."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from bakeoff.data import alike, duplicates, plates
from bakeoff.data.dataset import load
from bakeoff.data.duplicates import find_copies, joined, leaked, members, tie
from bakeoff.data.overlay import overlay
from bakeoff.data.photographs import DataError, gather
from bakeoff.data.pixels import open_store
from bakeoff.data.sources import find
from bakeoff.data.squares import look

KINDS = ("pizza", "pie", "ramen", "salad", "sushi")


def picture(number, width=128, height=96):
    """Draw what stands for a photograph: no two numbers show the same."""
    image = Image.fromarray(plates.draw(f"plates:{KINDS[number % 5]}/{number}", width))
    return image.crop((0, 0, width, height))


def saved_as(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def cut(image, rng, share):
    """Take up to `share` off the width and the height, anywhere."""
    width, height = image.size
    lost = rng.uniform(0, share, 2) * (width, height)
    left, top = rng.uniform(0, lost)
    return image.crop(
        [round(v) for v in (left, top, width - lost[0] + left, height - lost[1] + top)]
    )


def scaled(image, factor):
    return image.resize((round(image.width * factor), round(image.height * factor)))


def bright(image, factor):
    return ImageEnhance.Brightness(image).enhance(factor)


COPIES = {
    "as JPEG of quality 20": lambda im, _: saved_as(im, format="JPEG", quality=20),
    "as WebP": lambda im, _: saved_as(im, format="WEBP", quality=50),
    "half as large": lambda im, _: scaled(im, 0.5),
    "three times as large": lambda im, _: scaled(im, 3),
    "darker": lambda im, _: bright(im, 0.6),
    "brighter": lambda im, _: bright(im, 1.3),
    "grey": lambda im, _: im.convert("L").convert("RGB"),
    "mirrored": lambda im, _: ImageOps.mirror(im),
    "cut": lambda im, rng: cut(im, rng, 0.1),
    "all of it": lambda im, rng: saved_as(
        scaled(cut(bright(ImageOps.mirror(im), 1.2), rng, 0.08), 0.6), format="JPEG", quality=60
    ),
}


@pytest.fixture(scope="module")
def pictures():
    return [picture(number) for number in range(150)]


def looks(images):
    return np.stack([look(image) for image in images])


@pytest.mark.parametrize("how", COPIES)
def test_copies_are_found_and_strangers_are_not(pictures, how):
    rng = np.random.default_rng(5)
    copies = [COPIES[how](image, rng) for image in pictures]
    found = alike.pairs(looks(pictures + copies))
    right = found.second == found.first + 150
    assert right.sum() >= 148, "recall"
    assert (~right).sum() == 0, "false alarms"
    assert found.mirrored[right].mean() == (how in ("mirrored", "all of it"))
    assert found.likeness.min() > 0.9
    assert found.likeness.max() <= 1.0001


def test_no_pair_among_strangers(pictures):
    assert len(alike.pairs(looks(pictures)).first) == 0


def test_what_shows_nothing_is_like_nothing():
    flat = np.full((3, 64, 64), 200, dtype=np.uint8)
    flat[:, 10, 10] = 190
    assert len(alike.pairs(flat).first) == 0
    for few in (0, 1):
        assert len(alike.pairs(looks([picture(1)])[:few].reshape(few, 64, 64)).first) == 0
    assert alike.contrast(flat) == pytest.approx([10 * 4095**0.5 / 4096] * 3, rel=1e-4)


def test_many_copies_of_one_hang_together(pictures):
    rng = np.random.default_rng(0)
    frames = [cut(pictures[0], rng, 0.03) for _ in range(100)]
    found = alike.pairs(looks([*frames, *pictures[1:30]]))
    numbers = joined(129, [(found.first, found.second)])
    assert numbers.tolist() == [0] * 100 + [-1] * 29
    assert len(found.first) <= 100 * alike.MOST


def test_overlay_finds_the_box(pictures):
    whole = pictures[3].resize((640, 640))
    box = np.array([[0.06, 0.02, 0.97, 0.93]])
    part = whole.crop([round(640 * value) for value in box[0]])
    pair = looks([whole, part, ImageOps.mirror(part), pictures[4]])
    at = {"boxes": np.array([[0, 0, 1, 1.0]])}
    zero, yes, no = np.array([0]), np.array([True]), np.array([False])
    assert overlay(pair, zero, zero, no, **at) == pytest.approx([1], abs=1e-5)
    assert overlay(pair, zero, zero + 1, no, **at)[0] > 0.98, "moved from the whole to the box"
    assert overlay(pair, zero, zero + 1, no, boxes=box)[0] > 0.98
    assert overlay(pair, zero + 2, zero + 1, yes, **at)[0] > 0.99
    assert overlay(pair, zero, zero + 3, no, **at)[0] < 0.7


def test_numbers_and_members():
    edges = [(np.array([5, 1]), np.array([3, 2])), (np.array([3]), np.array([4]))]
    numbers = joined(7, edges)
    assert numbers.tolist() == [-1, 0, 0, 1, 1, 1, -1]
    assert members(numbers) == [[1, 2], [3, 4, 5]]
    assert members(np.array([-1, -1])) == []
    assert joined(0, [(np.empty(0, int), np.empty(0, int))]).tolist() == []


def rows(*told):
    """Photographs from `path split group`, a dash for none."""
    cells = [one.replace("-", "").split(" ") for one in told]
    return gather("x", None, ["a"], [(path, "a", split, group) for path, split, group in cells])


def test_copies_join_the_groups_there_are():
    photographs = rows("1 - g", "2 - g", "3 - -", "4 - h", "5 - -", "6 - -", "7 - k")
    tied = tie(photographs, np.array([-1, 0, 0, 0, 1, 1, -1]))
    assert tied.groups == ("g", "g", "g", "g", "copies of 5", "copies of 5", "k")
    assert tie(photographs, np.full(7, -1)) is photographs


def test_copies_in_given_splits_stay_where_they_are():
    photographs = rows(
        "1 train -", "2 train -", "3 test -", "4 - -", "5 test u", "6 - u", "7 test -", "8 - -"
    )
    tied = tie(photographs, np.array([0, 0, 0, 0, 0, -1, 1, 1]))
    first = "copies of 1"
    assert tied.groups == (first, first, "u", first, "u", "u", "copies of 7", "copies of 7")
    with pytest.raises(DataError, match="group 'u' lies in both train and test"):
        tie(rows("1 train u", "2 test u", "3 - -"), np.array([0, -1, 0]))


def test_leaks():
    numbers = np.array([0, 0, 1, 1, 2, 2, -1, 3, 3])
    sides = np.array(["train", "test", "validation", *["test"] * 4, "train", "validation"])
    assert np.flatnonzero(leaked(numbers, sides)).tolist() == [1, 3]
    assert np.flatnonzero(leaked(numbers, sides, "validation", ("train",))).tolist() == [8]
    assert not leaked(np.full(9, -1), sides).any()


@pytest.fixture
def folder(tmp_path):
    """Two classes of 15 pictures each, every third one there in three forms."""
    for name, first in (("a", 0), ("b", 100)):
        place = tmp_path / "d" / name
        place.mkdir(parents=True)
        for number in range(15):
            image = picture(first + number)
            image.save(place / f"{number}.jpg", quality=90)
            if number % 3 == 0:
                (place / f"same{number}.jpg").write_bytes((place / f"{number}.jpg").read_bytes())
                ImageOps.mirror(image).resize((100, 80)).save(place / f"near{number}.jpg")
    return tmp_path / "d"


def stem(path):
    return path.replace("same", "").replace("near", "")


def sides_of(data):
    homes = {}
    for path, side in zip(data.photographs.paths, data.split.tolist(), strict=True):
        homes.setdefault(stem(path), set()).add(side)
    return homes


@pytest.mark.parametrize("seed", range(4))
def test_our_splits_keep_copies_together(folder, spec, seed):
    data = load(spec(folder), 32, seed=seed)
    assert all(len(homes) == 1 for homes in sides_of(data).values())
    assert data.notes["copies"] == 30
    assert data.notes["leaked"] == []
    assert not data.leaked.any()
    assert data.notes["counts"] == {"train": 32, "validation": 8, "test": 10}
    assert "copies kept together" in data.notes["split"]
    apart = load(spec(folder, duplicates="ignore"), 32, seed=seed)
    assert any(len(homes) > 1 for homes in sides_of(apart).values())
    assert apart.notes["copies"] is None
    assert apart.notes["counts"] == data.notes["counts"]
    assert "copies" not in apart.notes["split"]


def test_groups_do_not_hang_on_the_stored_side(folder, spec):
    small, large = load(spec(folder), 16), load(spec(folder), 64)
    assert small.fingerprint == large.fingerprint
    assert small.photographs.groups == large.photographs.groups


def test_without_copies_nothing_changes(tmp_path, fill, spec):
    folder = fill(tmp_path / "n", {"a": 12, "b": 12})
    together, apart = load(spec(folder), 16), load(spec(folder, duplicates="ignore"), 16)
    assert together.fingerprint == apart.fingerprint
    assert together.notes["copies"] == 0
    assert together.notes["split"] == apart.notes["split"]


@pytest.mark.parametrize("limit", [4, 8])
def test_copies_stay_together_when_few_are_taken(folder, spec, limit):
    data = load(spec(folder, per_class=limit), 32)
    assert all(len(homes) == 1 for homes in sides_of(data).values())
    assert data.notes["counts"]["test"] == 10
    for label in (0, 1):
        assert ((data.split != "test") & (data.labels == label)).sum() <= limit


def test_given_splits_stay_and_leaks_are_named(folder, spec, tmp_path):
    for name in ("a", "b"):
        for split in ("train", "test"):
            (tmp_path / "g" / split / name).mkdir(parents=True)
        for file in sorted((folder / name).iterdir()):
            test = file.name.startswith(("near0", "same3", "1.", "2.", "4."))
            file.rename(tmp_path / "g" / ("test" if test else "train") / name / file.name)
    data = load(spec(tmp_path / "g"), 32)
    leaks = [f"test/{name}/{stem}.jpg" for name in "ab" for stem in ("near0", "same3")]
    assert data.notes["leaked"] == leaks
    assert [data.photographs.paths[row] for row in np.flatnonzero(data.leaked)] == leaks
    assert all(
        len(homes - {"test"}) <= 1
        for path, homes in sides_of(data).items()
        if path.startswith("train")
    )
    assert load(spec(tmp_path / "g", duplicates="ignore"), 32).notes["leaked"] == []
    data.write_manifest(tmp_path / "list.csv")
    again = load(spec(tmp_path / "list.csv"), 32)
    assert again.split.tolist() == data.split.tolist()
    assert int(again.leaked.sum()) == 4


def test_copies_are_found_once(folder, spec, monkeypatch):
    photographs = find(spec(folder))
    store = open_store(photographs, 32)
    first = find_copies(store, photographs)
    assert len(members(first.numbers)) == 10
    assert [len(group) for group in members(first.exact)] == [2] * 10
    assert set(first.near.mirrored.tolist()) == {True}

    def again(*_):
        raise AssertionError("compared again")

    monkeypatch.setattr(alike, "pairs", again)
    second = find_copies(open_store(photographs, 32), photographs)
    assert second.numbers.tolist() == first.numbers.tolist()
    assert second.near.likeness == pytest.approx(first.near.likeness, abs=1e-4)
    (store.folder / "copies-1.json").write_text("[[1, 2")
    with pytest.raises(AssertionError, match="compared again"):
        find_copies(store, photographs)
    monkeypatch.undo()
    assert find_copies(store, photographs).numbers.tolist() == first.numbers.tolist()


def test_drawn_pictures_are_compared_by_their_bytes(spec, monkeypatch):
    seen = []
    monkeypatch.setattr(
        duplicates.alike, "pairs", lambda some: seen.append(len(some)) or alike._once(*EMPTY)
    )
    data = load(spec("plates", per_class=10, classes=["pizza", "pie"]), 16)
    assert seen == [0]
    assert data.notes["copies"] == 0


EMPTY = (np.empty(0, int), np.empty(0, int), np.empty(0, np.float32), np.empty(0, bool))


def test_too_few_groups_because_of_copies_says_what_to_do(tmp_path, spec):
    for number, name in enumerate("ab"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for index in range(6):
            bright(picture(number), 0.7 + index / 20).save(tmp_path / "d" / name / f"{index}.png")
    with pytest.raises(DataError, match=r"too few groups.*data\.duplicates=ignore"):
        load(spec(tmp_path / "d"), 32)
    assert len(load(spec(tmp_path / "d", duplicates="ignore"), 32)) == 12
