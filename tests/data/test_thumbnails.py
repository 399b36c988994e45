"""Thumbnails: from files, drawn, and nothing where nothing is."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from bakeoff.data.spec import DataSpec
from bakeoff.data.thumbnails import SIDE, thumbnails


def test_a_photograph_becomes_a_small_square_jpeg_of_its_colour(tmp_path: Path) -> None:
    for name, colour in (("a", (200, 10, 10)), ("b", (10, 200, 10))):
        (tmp_path / name).mkdir()
        for index in range(5):
            Image.new("RGB", (300, 200), colour).save(tmp_path / name / f"{index}.png")
    picture = thumbnails(DataSpec(source=str(tmp_path)))
    data = picture("a/0.png")
    assert data is not None
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("JPEG", (SIDE, SIDE))
    red, green, _ = image.getpixel((48, 48))  # type: ignore[misc]
    assert red > 190
    assert green < 20
    (tmp_path / "a/0.png").write_bytes(b"torn")
    assert picture("a/0.png") is None
    assert picture("a/9.png") is None


def test_plates_are_drawn_and_a_source_that_is_gone_gives_nothing(tmp_path: Path) -> None:
    assert thumbnails(DataSpec(source="plates"))("plates:pizza/0") is not None
    assert thumbnails(DataSpec(source=str(tmp_path / "gone")))("a/0.png") is None
