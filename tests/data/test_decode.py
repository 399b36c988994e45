"""Every rule of decoding on an image made here, and every kind of file that is refused."""

from __future__ import annotations

import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.decode import DecodeError, decode


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data: bytes, suffix: str = "") -> tuple[np.ndarray, tuple[str, ...]]:
    decoded = decode(data, suffix=suffix)
    assert decoded.image.mode == "RGB"
    return np.asarray(decoded.image), decoded.rules


@pytest.fixture
def corner() -> Image.Image:
    """Blue, 4 wide and 2 high, with a red top left corner."""
    image = Image.new("RGB", (4, 2), (0, 0, 255))
    image.putpixel((0, 0), (255, 0, 0))
    return image


# Where EXIF says the first stored row and column are seen, hence where the red corner must lie.
@pytest.mark.parametrize(
    ("orientation", "place", "shape"),
    [
        (1, (0, 0), (2, 4)), (2, (0, 3), (2, 4)), (3, (1, 3), (2, 4)), (4, (1, 0), (2, 4)),
        (5, (0, 0), (4, 2)), (6, (0, 1), (4, 2)), (7, (3, 1), (4, 2)), (8, (3, 0), (4, 2)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation(corner, orientation, place, shape, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    got, rules = pixels(saved(corner, kind, exif=exif, **options))
    assert got.shape == (*shape, 3)
    assert got[place].tolist() == [255, 0, 0]
    assert (got == [255, 0, 0]).all(axis=2).sum() == 1
    assert rules == (() if orientation == 1 else ("turned",))


def test_jpeg_orientation():
    image = Image.new("RGB", (64, 32), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    got, rules = pixels(saved(image, "JPEG", exif=exif), ".jpg")
    assert got.shape == (64, 32, 3)
    assert got[4, 28, 0] > 200
    assert got[60, 4, 0] < 60
    assert rules == ("turned",)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    levels = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    got, rules = pixels(saved(Image.fromarray(levels), kind))
    assert got[0, :, 0].tolist() == [0, 1, 128, 255]
    assert rules == ("sixteen_bit", "grey")


def test_sixteen_bits_a_channel():
    """A PNG written by hand: Pillow cannot write one."""
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    body = zlib.compress(b"\0" + struct.pack(">HHH", 65535, 32896, 0))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    got, rules = pixels(data)
    assert got[0, 0].tolist() == [255, 128, 0]
    assert rules == ("sixteen_bit",)


def test_cmyk():
    got, rules = pixels(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert got[4, 4, 0] > 240
    assert got[4, 4, 1] < 15
    assert rules == ("cmyk",)


def test_grey_and_bilevel(corner):
    got, rules = pixels(saved(corner.convert("L"), "PNG"))
    assert got[0, 0].tolist() == [76, 76, 76]
    assert rules == ("grey",)
    assert pixels(saved(Image.new("1", (3, 3), 1), "PNG"))[0].min() == 255


def test_palette_with_and_without_transparency(corner):
    palette = corner.convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    got, rules = pixels(saved(palette, "PNG"))
    assert got[0, 0].tolist() == [255, 0, 0]
    assert rules == ("palette",)
    red = palette.getpixel((0, 0))
    for transparency in (red, bytes([0 if index == red else 255 for index in range(2)])):
        got, rules = pixels(saved(palette, "PNG", transparency=transparency))
        assert got[0, 0].tolist() == [255, 255, 255]
        assert got[1, 3].tolist() == [0, 0, 255]
        assert rules == ("palette", "transparent")


def test_alpha_is_laid_over_white(corner):
    alpha = corner.convert("RGBA")
    assert pixels(saved(alpha, "PNG"))[1] == ()
    alpha.putpixel((0, 0), (255, 0, 0, 51))
    got, rules = pixels(saved(alpha, "PNG"))
    assert got[0, 0].tolist() == [255, 204, 204]
    assert rules == ("transparent",)
    grey = Image.new("LA", (1, 1), (0, 0))
    assert pixels(saved(grey, "PNG"))[0].tolist() == [[[255, 255, 255]]]
    keyed = saved(Image.new("RGB", (1, 1), (9, 9, 9)), "PNG", transparency=(9, 9, 9))
    assert pixels(keyed)[0].tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_several(kind):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    got, rules = pixels(data)
    assert got[1, 1, 0] > 250
    assert got[1, 1, 2] < 5
    assert "first_frame" in rules


def test_suffix_that_lies(corner):
    assert pixels(saved(corner, "PNG"), ".jpg")[1] == ("suffix",)
    assert pixels(saved(corner, "PNG"), ".PNG")[1] == ()


def test_lab_is_converted(corner):
    got, rules = pixels(saved(Image.new("LAB", (2, 2), (255, 128, 128)), "TIFF"))
    assert got.shape == (2, 2, 3)
    assert rules == ("other_mode",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, I am a text file", "not an image"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC or AVIF"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "damaged|not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"),
    ],
)
def test_refused(data, reason):
    with pytest.raises(DecodeError, match=reason):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_truncated_files_are_refused_although_their_header_is_right(kind):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), kind)
    with pytest.raises(DecodeError):
        decode(data[: len(data) // 2])


def test_too_many_pixels(corner):
    with pytest.raises(DecodeError, match="4 x 2 pixels, over 7"):
        decode(saved(corner, "PNG"), max_pixels=7)
    bomb = bytearray(saved(corner, "BMP"))
    bomb[18:26] = struct.pack("<ii", 40_000, 40_000)
    with pytest.raises(DecodeError, match="pixels"):
        decode(bytes(bomb))


def test_photographs_of_the_largest_phones_are_no_bombs(corner):
    huge = bytearray(saved(corner, "BMP"))
    huge[18:26] = struct.pack("<ii", 16_320, 12_288)
    with pytest.raises(DecodeError, match="damaged: image file is truncated"):
        decode(bytes(huge))
    huge[18:26] = struct.pack("<ii", 70_000, 2)
    with pytest.raises(DecodeError, match="a side over 65535"):
        decode(bytes(huge))


def test_floating_point_is_refused():
    data = saved(Image.fromarray(np.zeros((2, 2), dtype=np.float32)), "TIFF")
    with pytest.raises(DecodeError, match="no fixed range"):
        decode(data)


def test_warnings_stay_inside_also_among_threads(corner, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6)  # 8 pixels: Pillow warns, and does not raise
    data = saved(corner, "PNG")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: decode(data).rules, range(200)))
    assert done == [()] * 200
    assert warnings.filters == before
    with pytest.raises(Image.DecompressionBombWarning):
        Image.open(BytesIO(data))


def test_damaged_exif_does_no_harm(corner):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\xff" + b"\x01\x12\0\x03\0\0\0\x01"
    got, rules = pixels(saved(corner.resize((16, 16)), "JPEG", exif=exif))
    assert got.shape == (16, 16, 3)
    assert rules == ()
