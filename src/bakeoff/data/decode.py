"""One photograph's bytes to upright RGB, by rules that are named and counted.

The whole image is decoded: a header that looks right proves little. Colour profiles are not
applied, as in the loaders that pretrained networks learned from.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 2**28  # above the largest phone cameras (200 megapixels), far below a bomb
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow itself would refuse those cameras, as damaged
MAX_SIDE = 65_535  # what a JPEG can have at most
MANY_PIXELS = 2**25  # larger ones are decoded one at a time: the largest take 3.4 GB
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # Pillow opens MPO as JPEG
RULES = {
    "turned": "turned upright as its EXIF orientation says",
    "cmyk": "CMYK converted to RGB without a profile",
    "palette": "palette colours looked up",
    "sixteen_bit": "16 bits a channel scaled to 8",
    "transparent": "transparent parts laid over white",
    "grey": "grey copied into three channels",
    "first_frame": "first frame of several taken",
    "other_mode": "another colour space (Lab, YCbCr, HSV) converted to RGB",
    "suffix": "format differs from what the file's suffix says",
}
SUFFIX_FORMATS = {
    ".jpg": ("JPEG", "MPO"),
    ".jpeg": ("JPEG", "MPO"),
    ".png": ("PNG",),
    ".webp": ("WEBP",),
    ".gif": ("GIF",),
    ".bmp": ("BMP",),
    ".tif": ("TIFF",),
    ".tiff": ("TIFF",),
}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112


class DecodeError(ValueError):
    """These bytes are no image that can be used; the message is the reason alone."""


@dataclass(frozen=True)
class Decoded:
    """An upright RGB image and the names in RULES of what was done to it."""

    image: Image.Image
    rules: tuple[str, ...]


def decode(data: bytes, *, suffix: str = "", max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a whole image; of an animation or a multi-page file the first.

    `suffix` (`.jpg`) is what the file's name promises. Raises DecodeError.
    """
    if not data:
        raise DecodeError("empty file")
    with _quiet():
        try:
            return _decode(data, suffix.lower(), max_pixels)
        except (DecodeError, MemoryError):
            raise
        except UnidentifiedImageError:
            raise DecodeError(_unknown(data)) from None
        except Image.DecompressionBombError:
            raise DecodeError(f"over {max_pixels} pixels in all") from None
        except Exception as error:  # Pillow's readers raise nearly anything on damaged files
            raise DecodeError(f"damaged: {error or type(error).__name__}") from error


def upright(image: Image.Image) -> Image.Image:
    """Return an image that is open already as upright RGB, by the same rules; or DecodeError."""
    with _quiet():
        try:
            return _upright(image, [])
        except (DecodeError, MemoryError):
            raise
        except Exception as error:
            raise DecodeError(f"damaged: {error or type(error).__name__}") from error


def contents(file: Path) -> bytes:
    """Read a photograph's file; DecodeError says in a few words why that cannot be done."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise DecodeError("not there, or a link that leads nowhere") from None
    except PermissionError:
        raise DecodeError("no permission to read it") from None
    except (OSError, ValueError) as error:  # a name that no file can have, a disk that fails
        raise DecodeError(getattr(error, "strerror", None) or str(error)) from None


def _decode(data: bytes, suffix: str, max_pixels: int) -> Decoded:
    rules = []
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > max_pixels:
            raise DecodeError(f"{image.width} x {image.height} pixels, over {max_pixels} in all")
        if max(image.size) > MAX_SIDE:
            raise DecodeError(f"{image.width} x {image.height} pixels, a side over {MAX_SIDE}")
        if suffix in SUFFIX_FORMATS and image.format not in SUFFIX_FORMATS[suffix]:
            rules.append("suffix")
        if getattr(image, "n_frames", 1) > 1:
            rules.append("first_frame")
        if image.mode.startswith("I") or any(_wide(str(tile[3])) for tile in image.tile):
            rules.append("sixteen_bit")
        said = _orientation(image)
        many = image.width * image.height > MANY_PIXELS
        with _one_at_a_time if many else nullcontext():
            rgb = _upright(image, rules)
    if said in TURNS:
        rules.append("turned")
    return Decoded(rgb, tuple(rules))


def _upright(image: Image.Image, rules: list[str]) -> Image.Image:
    image.load()
    turn = _orientation(image)  # Pillow has turned a TIFF while loading it
    rgb = _to_rgb(image, rules)
    return rgb.transpose(TURNS[turn]) if turn in TURNS else rgb


def _to_rgb(image: Image.Image, rules: list[str]) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _eight_bit(image)
    if image.mode in ("1", "L", "LA", "La"):
        rules.append("grey")
    elif image.mode in ("P", "PA"):
        rules.append("palette")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        lowest, _ = image.getchannel("A").getextrema()
        if lowest != 255:
            rules.append("transparent")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
    elif image.mode == "CMYK":
        rules.append("cmyk")
    elif image.mode not in ("1", "L", "P", "RGB", "RGBX"):
        rules.append("other_mode")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; Pillow's own conversion clips at 255."""
    levels = np.asarray(image)
    if levels.dtype.kind == "f" or levels.min() < 0 or levels.max() > 65535:
        raise DecodeError(f"pixels of mode {image.mode} have no fixed range; save it as 8 bit")
    return Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _wide(raw: str) -> bool:
    """Tell 16 bits a channel from Pillow's raw mode; `BGR;16` means 16 bits a pixel."""
    return ";16" in raw and "BGR;16" not in raw


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF says nothing about the picture itself
        return 1


def _unknown(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "an HEIC or AVIF image, which is not read; convert it to JPEG or PNG"
    return "not an image, or of a format that is not read (JPEG, PNG, WebP, GIF, BMP, TIFF are)"


_one_at_a_time = threading.Lock()
_lock = threading.Lock()
_inside = 0
_outer = warnings.catch_warnings()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's warnings; the first thread in sets the filter, the last one out resets it.

    `catch_warnings` alone is not safe among threads: filters are one list for the whole process.
    """
    global _inside, _outer  # noqa: PLW0603
    with _lock:
        if _inside == 0:
            _outer = warnings.catch_warnings()
            _outer.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _outer.__exit__(None, None, None)
