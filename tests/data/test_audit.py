"""A made-up folder with every fault once or more: all are found, nothing else is."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
from PIL import Image, ImageOps
from rich.console import Console

from bakeoff.data import alike, plates, squares
from bakeoff.data.audit import EXAMPLES, audit
from bakeoff.data.audit_view import counting, fragment, lead, terminal
from bakeoff.data.dataset import load
from bakeoff.data.findings import CONVERTED, KINDS
from bakeoff.data.photographs import DataError
from bakeoff.data.thumbnails import thumbnails

KINDS_DRAWN = ("pizza", "pie", "ramen", "salad", "sushi")


def picture(number, width=128, height=96):
    """Draw what stands for a photograph: no two numbers show the same."""
    image = Image.fromarray(plates.draw(f"plates:{KINDS_DRAWN[number % 5]}/{number}", width))
    return image.crop((0, 0, width, height))


@pytest.fixture
def clean(tmp_path):
    """Two classes of 12 sound pictures each, no split given."""
    for name, first in (("cake", 0), ("soup", 50)):
        (tmp_path / "clean" / name).mkdir(parents=True)
        for number in range(12):
            picture(first + number).save(tmp_path / "clean" / name / f"{number}.jpg", quality=90)
    return tmp_path / "clean"


@pytest.fixture
def faulty(tmp_path):
    """Splits train, val and test, and every fault in them."""
    root = tmp_path / "faulty"
    first = 0
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        for name in ("cake", "soup"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                file = root / split / name / f"{number}.jpg"
                picture(first + number).save(file, quality=90)
            first += count
    train, val, test = (root / split for split in ("train", "val", "test"))
    whole = (train / "cake" / "0.jpg").read_bytes()
    with Image.open(train / "cake" / "1.jpg") as image:
        image.resize((90, 70)).save(test / "cake" / "leak.jpg", quality=50)
    (test / "soup" / "same.jpg").write_bytes((train / "soup" / "2.jpg").read_bytes())
    with Image.open(train / "soup" / "3.jpg") as image:
        ImageOps.mirror(image).save(val / "soup" / "leak.jpg")
    (train / "cake" / "twin.jpg").write_bytes(whole)
    (train / "soup" / "conflict.jpg").write_bytes(whole)
    (train / "cake" / "short.jpg").write_bytes(whole[: len(whole) // 2])
    (train / "cake" / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(400))
    (train / "cake" / "empty.png").write_bytes(b"")
    (train / "cake" / "lost.jpg").symlink_to(root / "nowhere.jpg")
    picture(200, 50, 40).save(train / "cake" / "tiny.jpg")
    picture(201, 400, 400).crop((0, 0, 400, 80)).save(train / "cake" / "long.jpg")
    Image.new("RGB", (90, 90), (9, 90, 9)).save(train / "soup" / "blank.jpg")
    picture(202).save(train / "soup" / "named.jpg", format="PNG")
    picture(203).convert("CMYK").save(train / "soup" / "print.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(204).save(train / "soup" / "turned.jpg", exif=exif)
    return root


def by_kind(found):
    return {finding.kind: finding for finding in found.findings}


def paths(finding):
    return [example.paths for example in finding.examples]


def test_a_clean_folder_is_clean(clean, spec):
    found = audit(spec(clean))
    assert found.findings == ()
    assert found.exit_code == 0
    assert (found.photographs, found.good) == (24, 24)
    assert found.classes == {"cake": 12, "soup": 12}
    assert found.splits == {"train": 16, "validation": 4, "test": 4}
    assert found.smallest_class == {"train": 8, "validation": 2, "test": 2}
    assert found.largest_over_smallest == 1.0
    assert "the source gives no test split" in found.split


def test_every_fault_is_found_and_no_other(faulty, spec):
    found = audit(spec(faulty))
    kinds = by_kind(found)
    expected = {
        "unreadable": [("train/cake/lost.jpg",)],
        "truncated": [("train/cake/short.jpg",)],
        "corrupt": [("train/cake/broken.jpg",), ("train/cake/empty.png",)],
        "conflict": [("train/cake/0.jpg", "train/cake/twin.jpg", "train/soup/conflict.jpg")],
        "leak": [("test/cake/leak.jpg",), ("test/soup/same.jpg",)],
        "validation_leak": [("val/soup/leak.jpg",)],
        "exact": [
            ("test/soup/same.jpg", "train/soup/2.jpg"),
            ("train/cake/0.jpg", "train/cake/twin.jpg", "train/soup/conflict.jpg"),
        ],
        "near": [
            ("test/cake/leak.jpg", "train/cake/1.jpg"),
            ("train/soup/3.jpg", "val/soup/leak.jpg"),
        ],
        "tiny": [("train/cake/tiny.jpg",)],
        "blank": [("train/soup/blank.jpg",)],
        "extreme": [("train/cake/long.jpg",)],
        "suffix": [("train/soup/named.jpg",)],
        "turned": [("train/soup/turned.jpg",)],
        "cmyk": [("train/soup/print.jpg",)],
    }
    assert {kind: paths(told) for kind, told in kinds.items()} == expected
    assert list(kinds) == [kind for kind in (*KINDS, *CONVERTED) if kind in expected]
    assert found.exit_code == 1
    assert [finding.kind for finding in found.harmful] == list(expected)[:6]
    assert (found.photographs, found.good) == (55, 51)
    assert found.splits == {"train": 32, "validation": 9, "test": 10}


def test_findings_say_how_many_of_what(faulty, spec):
    kinds = by_kind(audit(spec(faulty)))
    assert kinds["corrupt"].count == 2
    assert kinds["corrupt"].share == pytest.approx(2 / 55)
    assert kinds["leak"].share == pytest.approx(2 / 10), "of the test photographs"
    assert kinds["exact"].count == 5
    assert kinds["conflict"].examples[0].detail == "cake, soup"
    assert kinds["tiny"].examples[0].detail == "50 x 40 pixels"
    assert kinds["extreme"].examples[0].detail == "400 x 80 pixels"
    assert kinds["suffix"].examples[0].detail == "is PNG"
    assert "truncated" in kinds["truncated"].examples[0].detail
    leak = kinds["leak"].examples[1]
    assert leak.beside == ("train/soup/2.jpg",)
    assert leak.detail == "the second is in train"
    assert kinds["near"].examples[1].detail.endswith(", mirrored")
    assert all(told.advice.endswith(".") for told in kinds.values())


def test_examples_are_the_first_few(clean, spec):
    for number in range(12):
        (clean / "cake" / f"{number}.jpg").rename(clean / "cake" / f"{number}.png")
    whole = (clean / "soup" / "0.jpg").read_bytes()
    for number in range(9):
        (clean / "soup" / f"again{number}.jpg").write_bytes(whole)
    kinds = by_kind(audit(spec(clean), examples=3))
    assert (kinds["suffix"].count, len(kinds["suffix"].examples)) == (12, 3)
    same = kinds["exact"].examples[0]
    assert (kinds["exact"].count, len(same.paths), same.detail) == (10, 6, ", and 4 more")
    assert EXAMPLES == 24


def test_uneven_classes_and_one_that_cannot_be_split(clean, spec):
    for number in range(2, 12):
        (clean / "cake" / f"{number}.jpg").unlink()
    found = audit(spec(clean))
    kinds = by_kind(found)
    assert set(kinds) == {"unsplittable", "uneven"}
    assert found.exit_code == 1
    assert found.largest_over_smallest == 6.0
    assert "'cake' has too few photographs (2)" in kinds["unsplittable"].examples[0].detail
    assert kinds["uneven"].examples[0].detail == "cake: 2 of 12"
    assert (kinds["uneven"].count, kinds["uneven"].unit, kinds["uneven"].share) == (
        1,
        "classes",
        0.5,
    )
    with pytest.raises(DataError, match="does not exist"):
        audit(spec(clean / "nowhere"))


def test_a_split_that_parts_copies_leaks(clean, spec):
    for number in range(12):
        with Image.open(clean / "soup" / f"{number}.jpg") as image:
            ImageOps.mirror(image).save(clean / "soup" / f"turned{number}.jpg")
    assert audit(spec(clean)).exit_code == 0
    kinds = by_kind(audit(spec(clean, duplicates="ignore")))
    assert kinds["leak"].count >= 1
    assert kinds["near"].count == 24


def test_the_second_look_decodes_and_compares_nothing(faulty, spec, monkeypatch):
    told = []
    first = audit(spec(faulty), progress=lambda *call: told.append(call))
    assert told[0] == ("decoding", 55, 55)

    def again(*_, **__):
        raise AssertionError("done again")

    monkeypatch.setattr(squares, "decode", again)
    monkeypatch.setattr(alike, "pairs", again)
    second = audit(spec(faulty))
    assert json.dumps(second.as_json()) == json.dumps(first.as_json())
    os.utime(faulty / "train" / "cake" / "5.jpg", ns=(1, 1))
    with pytest.raises(AssertionError, match="done again"):
        audit(spec(faulty))


def test_a_training_has_decoded_them_already(clean, spec, monkeypatch):
    load(spec(clean), 40)
    monkeypatch.setattr(squares, "decode", None)
    assert audit(spec(clean), side=40).good == 24


def test_json_says_it_all(faulty, spec):
    told = json.loads(json.dumps(audit(spec(faulty)).as_json()))
    assert told["exit_code"] == 1
    assert told["harmful"] == 6
    assert told["findings"][0]["kind"] == "unreadable"
    assert told["findings"][3]["examples"][0]["paths"][2] == "train/soup/conflict.jpg"


def shown(found):
    console = Console(width=80, file=io.StringIO())
    console.print(terminal(found))
    return console.file.getvalue()


def test_terminal_at_80_columns(faulty, clean, spec):
    text = shown(audit(spec(faulty)))
    assert max(map(len, text.splitlines())) <= 80
    for told in ("the same picture in different classes", "20 %", "test/soup/same.jpg =", "3.6 %"):
        assert told in text
    assert "6 kinds of findings harm" in text
    text = shown(audit(spec(clean)))
    assert "Nothing wrong was found." in text
    assert "train 16, validation 4, test 4" in text


def test_fragment_has_pictures_within_its_budget_and_escapes_names(faulty, spec):
    ugly = faulty / "train" / "soup" / "<b>&'x.jpg"
    ugly.write_bytes((faulty / "train" / "soup" / "5.jpg").read_bytes())
    found = audit(spec(faulty))
    html = fragment(found, thumbnails(spec(faulty)))
    assert html.count("<img src='data:image/jpeg;base64,") == 26
    assert "&lt;b&gt;&amp;&#39;x.jpg" in html
    assert "<b>" not in html
    assert "lost.jpg (not there, or a link that leads nowhere)" in html
    small = fragment(found, thumbnails(spec(faulty)), budget=9_000)
    assert 0 < small.count("<img") < 8
    assert sum(len(part.split("'")[0]) for part in small.split("base64,")[1:]) <= 9_000
    assert "<img" not in fragment(found, lambda _: None)
    assert lead(found) == "All 56 files decoded and compared, in every class and split."


def test_names_that_are_no_text_are_shown(clean, spec):
    (clean / "cake" / "3.jpg").unlink()
    (clean / "cake" / os.fsdecode(b"\xff.jpg")).touch()
    found = audit(spec(clean))
    assert fragment(found, lambda _: None).encode("utf-8").count(rb"\xff.jpg (empty file)") == 1
    assert r"\xff.jpg" in shown(found)


def test_progress_is_lines_where_there_is_no_terminal(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr("bakeoff.data.audit_view.monotonic", lambda: next(clock))
    with counting(Console()) as progress:
        progress("decoding", 5, 10)
        progress("decoding", 8, 10)
        progress("decoding", 10, 10)
    assert capsys.readouterr().out == "decoding: 8 of 10\n"
    with counting(Console(force_terminal=True)) as progress:
        progress("comparing", 0, 0)
        progress("comparing", 10, 10)
    assert "comparing" in capsys.readouterr().out


def test_drawn_pictures_have_no_size(spec):
    found = audit(spec("plates", per_class=10, classes=["pizza", "pie"]))
    assert found.findings == ()
    assert found.megabytes == 0
    assert found.splits == {"train": 16, "validation": 4, "test": 100}
    assert np.array_equal(list(found.classes.values()), [60, 60])
