"""Small pictures of photographs for the page, read from where the study found them."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from PIL import Image

from bakeoff.data import plates
from bakeoff.data.addresses import content_of
from bakeoff.data.decode import DecodeError, decode
from bakeoff.data.photographs import DRAWN, DataError, Photographs
from bakeoff.data.sources import find
from bakeoff.data.spec import DataSpec
from bakeoff.data.squares import square

SIDE = 96


def thumbnails(spec: DataSpec) -> Callable[[str], bytes | None]:
    """Return a function from a photograph's id (its path) to a JPEG of 96 pixels a side.

    It gives None where the photograph is no longer there or cannot be read.
    """

    @cache
    def known() -> tuple[Photographs | None, dict[str, int]]:
        try:
            photographs = find(spec, offline=spec.source == "food101")
        except DataError:
            return None, {}
        return photographs, {path: row for row, path in enumerate(photographs.paths)}

    def picture(name: str) -> bytes | None:
        if name.startswith(DRAWN):
            return _jpeg(Image.fromarray(plates.draw(name, SIDE)))
        photographs, row = known()
        if photographs is None or name not in row:
            return None
        with suppress(DecodeError, DataError):
            image = decode(content_of(photographs, row[name])).image
            return _jpeg(Image.fromarray(square(image, SIDE)))
        return None

    return picture


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75)
    return file.getvalue()
