"""The HTTP API of a real server: the same answers as `bakeoff predict`, whatever is sent."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from bakeoff import predict
from bakeoff.classifier import load
from bakeoff.serving.limits import MOST_FILE_BYTES

FORM = "multipart/form-data"
LIMIT = 300  # seconds: a busy machine is slow, not wrong
Noise = Callable[..., bytes]


def post(served: Any, *files: tuple[str, bytes], **query: Any) -> httpx.Response:
    parts = [("photographs", each) for each in files]
    return httpx.post(f"{served.url}/api/predict", files=parts, params=query, timeout=LIMIT)


def predicted(
    model: Path, files: list[Path], top: int = 5, accept_error: float | None = None
) -> list[dict[str, Any]]:
    """What `bakeoff predict --json` says."""
    classifier = load(model, device="cpu")
    top, threshold = min(top, len(classifier.classes)), classifier.threshold(accept_error)
    paths = map(str, files)
    rows = predict.rows(paths, classifier.stream, classifier.classes, top, threshold)
    return [json.loads(line) for line in predict.as_json(rows, top)]


def alike(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> bool:
    """Whether rows are the same but for paths; probabilities to the last digits of fp32."""
    for one, two in zip(rows, others, strict=True):
        assert (one["answer"], one["error"]) == (two["answer"], two["error"])
        assert [each["class"] for each in one["top"]] == [each["class"] for each in two["top"]]
        shares = [each["probability"] for each in one["top"]]
        assert shares == pytest.approx([each["probability"] for each in two["top"]], abs=2e-6)
    return True


@pytest.mark.parametrize("model", [1, 2])
def test_the_answers_are_those_of_predict(served: Any, place: Any, model: int) -> None:
    files = place.photographs()[::4]
    folder = place.best if model == 1 else place.other
    answer = post(served, *((file.name, file.read_bytes()) for file in files), model=model)
    assert answer.status_code == 200
    rows = answer.json()
    assert [row["path"] for row in rows] == [file.name for file in files]
    assert alike(rows, predicted(folder, files))


def test_answers_are_held_back_as_predict_does(served: Any, place: Any, noise: Noise) -> None:
    promises = httpx.get(f"{served.url}/api/models", timeout=LIMIT).json()[0]["trust"]["promises"]
    error = min(each["error"] for each in promises if each["threshold"] is not None)
    greys = [(f"{seed}.png", noise((30, 0, 30), seed)) for seed in range(12)]
    file = place.folder / "greys"
    file.mkdir(exist_ok=True)
    for name, data in greys:
        (file / name).write_bytes(data)
    rows = post(served, *greys, accept_error=error, top=1).json()
    assert alike(rows, predicted(place.best, [file / name for name, _ in greys], 1, error))
    assert {len(row["top"]) for row in rows} == {1}


def test_many_at_once_share_forward_passes(served: Any, noise: Noise) -> None:
    def facts() -> dict[str, Any]:
        return httpx.get(f"{served.url}/api/models", timeout=LIMIT).json()[0]  # type: ignore[no-any-return]

    before, photograph = facts(), noise((0, 0, 60), 5)

    async def ask() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=8)
        async with httpx.AsyncClient(timeout=LIMIT, limits=limits) as client:
            several = [("photographs", ("x.png", photograph))] * 5
            asking = (client.post(f"{served.url}/api/predict", files=several) for _ in range(40))
            return await asyncio.gather(*asking)

    answers = asyncio.run(ask())
    assert {answer.status_code for answer in answers} == {200}
    assert all(alike(answer.json(), answers[0].json()) for answer in answers)
    after = facts()
    assert after["photographs"] - before["photographs"] == 200
    assert after["passes"] - before["passes"] < 200


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"top": 0}, "the address: top: '0' is not allowed"),
        ({"model": 3}, "model: 3 is not allowed; there are 2"),
        ({"acept_error": 0.1}, "did you mean accept_error?"),
        ({"accept_error": 0.0001}, "accept_error: 0.0001 is not allowed"),
        ({"accept_error": "nan"}, "accept_error: nan is not allowed"),
        ({"model": 2, "accept_error": 0.1}, "promises nothing; only a study's best is calibrated"),
    ],
)
def test_wishes_that_are_none(
    served: Any, place: Any, noise: Noise, query: Any, sentence: str
) -> None:
    answer = post(served, ("x.png", noise((0, 0, 0), 0)), **query)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]
    assert str(place.folder) not in answer.text


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"content": b""}, "send photographs as files of a form"),
        ({"content": b"x", "headers": {"content-type": "image/png"}}, "send photographs as files"),
        ({"data": {"photographs": "/etc/passwd"}}, "send photographs as files"),
        (
            {"content": b"x", "headers": {"content-type": FORM}},
            "send photographs as files",
        ),
        (
            {
                "content": b"--a\r\nxx",
                "headers": {"content-type": "multipart/form-data; boundary=a"},
            },
            "send photographs as files",
        ),
        ({"files": [("p", ("x.png", b"x"))] * 201}, "Too many files"),
    ],
)
def test_forms_that_are_none(served: Any, sent: dict[str, Any], sentence: str) -> None:
    answer = httpx.post(f"{served.url}/api/predict", timeout=LIMIT, **sent)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def saved(image: Image.Image, form: str, **more: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG that says it has 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


GREY = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16)
COLOUR = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
LARGE = Image.new("1", (9_000, 9_000))  # 81 million pixels in ten kilobytes
BROKEN = {
    "empty": (b"", "empty file"),
    "text": (b"no image", "not an image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(100), "an HEIC or AVIF image"),
    "truncated": (saved(COLOUR, "JPEG")[:-400], "damaged"),
    "bomb": (bomb(), "pixels"),
    "large": (saved(LARGE, "PNG"), "9000 x 9000 pixels, over 67108864 in all"),
    "heavy": (bytes(MOST_FILE_BYTES + 1), "larger than 20 MB"),
}
READ = {
    "sixteen bit": saved(GREY, "PNG"),
    "cmyk": saved(COLOUR.convert("CMYK"), "JPEG"),
    "animated": saved(COLOUR, "GIF", save_all=True, append_images=[COLOUR.rotate(90)] * 3),
    "tiff": saved(COLOUR, "TIFF"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_photograph_gets_a_sentence(served: Any, kind: str) -> None:
    data, sentence = BROKEN[kind]
    answer = post(served, ("x.png", data))
    assert answer.status_code == 422
    (row,) = answer.json()
    assert sentence in row["error"]
    assert (row["answer"], row["top"]) == (None, [])
    assert "Traceback" not in answer.text
    assert served.alive()


def test_one_broken_file_spoils_no_other(served: Any, noise: Noise) -> None:
    answer = post(served, ("a.png", noise((60, 0, 0), 1)), ("b.png", b"no image"))
    assert answer.status_code == 200
    assert [bool(row["error"]) for row in answer.json()] == [False, True]


@pytest.mark.parametrize("kind", READ)
def test_odd_kinds_are_read_as_predict_reads_them(
    served: Any, place: Any, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(READ[kind])
    rows = post(served, ("x.png", READ[kind])).json()
    assert alike(rows, predicted(place.best, [file]))


def test_the_documented_lines_work(served: Any, tmp_path: Path, noise: Noise) -> None:
    text = (Path(__file__).parents[2] / "docs/serve.md").read_text(encoding="utf-8")
    curl = next(line for line in text.splitlines() if line.strip().startswith("curl "))
    python = next(line for line in text.splitlines() if "httpx.post" in line)
    (tmp_path / "pizza.jpg").write_bytes(noise((60, 0, 0), 7))
    asked = python.replace("http://127.0.0.1:7860", served.url).strip()
    code = f"import httpx, json; print(json.dumps({asked}))"
    calls = [[sys.executable, "-c", code]]
    if shutil.which("curl"):
        calls.append(shlex.split(curl.replace("http://127.0.0.1:7860", served.url)))
    for call in calls:
        answer = subprocess.run(call, cwd=tmp_path, capture_output=True, check=True)
        (row,) = json.loads(answer.stdout)
        assert (row["path"], row["answer"]) == ("pizza.jpg", "a")
