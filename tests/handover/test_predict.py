"""`bakeoff predict`: which photographs, in what form, and how it behaves in a pipe."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bakeoff
from bakeoff.data.decode import DecodeError
from bakeoff.data.photographs import DataError
from bakeoff.predict import Row, as_csv, as_json, as_text, expand, rows

MODEL = "runs/noise/best"


def call(
    folder: Path, *arguments: str, code: int = 0, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "bakeoff", "predict", MODEL, *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    return done


def test_folders_globs_and_unreadable_files_as_csv(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 not a photograph")
    broken, names = str(tmp_path / "broken.jpg"), ["photographs/b", "photographs/a/1?.png"]
    done = call(workplace, broken, *names, "nowhere.png", "--csv", "--top", "9", code=3)
    found = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert list(found[0]) == [
        "path", "answer", "class_1", "probability_1", "class_2", "probability_2", "error",
    ]  # fmt: skip
    assert [row["path"] for row in found] == [
        broken,
        *(f"photographs/b/{number}.png" for number in range(60)),
        *(f"photographs/a/1{number}.png" for number in range(10)),
        "nowhere.png",
    ]
    assert [row["answer"] for row in found[1:-1]] == ["b"] * 60 + ["a"] * 10
    assert found[-1]["error"] == "not there, or a link that leads nowhere"
    assert found[0]["error"].startswith("not an image") or "damaged" in found[0]["error"]
    assert b"2 of the photographs could not be read" in done.stderr
    shares = bakeoff.load(workplace / MODEL).predict_proba([workplace / found[1]["path"]])
    assert float(found[1]["probability_1"]) == pytest.approx(shares.max(), abs=1e-5)


def test_a_list_on_stdin_as_json_with_names_that_are_no_text(
    workplace: Path, tmp_path: Path
) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff.png"
    Path(os.fsdecode(odd)).write_bytes((workplace / "photographs/a/1.png").read_bytes())
    given = b"photographs/b/1.png\n" + odd + b"\n\n"
    arguments = ("-", "--json", "--top", "1", "--accept-error", "0.3")
    lines = call(workplace, *arguments, given=given).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    assert [row["answer"] for row in found] == ["b", "a"]
    assert [row["top"][0]["class"] for row in found] == ["b", "a"]
    assert os.fsencode(found[1]["path"]) == odd


def test_a_reader_that_leaves_early_is_no_error(workplace: Path) -> None:
    command = [sys.executable, "-m", "bakeoff", "predict", MODEL, *["photographs"] * 300]
    with subprocess.Popen(
        command, cwd=workplace, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"photographs/a/0.png\ta ")
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(30) in (1, 141)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["photographs/*.jpg"], "photographs/*.jpg: matches nothing"),
        (["runs/noise/nets"], "no images in this folder or below"),
        (["photographs", "--accept-error", "0.001"], "accept_error: 0.001 is not allowed"),
    ],
)
def test_what_cannot_be_asked_is_refused(workplace: Path, arguments: list[str], said: str) -> None:
    assert said in call(workplace, *arguments, code=2).stderr.decode()


def test_expand_takes_stdin_as_it_comes(tmp_path: Path) -> None:
    for name in ("10.png", "9.JPG", "note.txt"):
        (tmp_path / name).touch()
    paths, total = expand([str(tmp_path), "gone.png"], [])
    assert (list(paths), total) == ([f"{tmp_path}/9.JPG", f"{tmp_path}/10.png", "gone.png"], 3)
    paths, total = expand(["-", str(tmp_path)], iter(["x.png\r\n", "\n", "y z.png\n"]))
    assert total == 0
    assert list(paths)[:2] == ["x.png", "y z.png"]
    with pytest.raises(DataError, match="matches nothing"):
        expand([f"{tmp_path}/*.gif"], [])
    odd = tmp_path / "[1].png"
    odd.touch()
    assert list(expand([str(odd)], [])[0]) == [str(odd)], "a file goes before a glob"


ROWS = [
    Row("one", (("pizza", 0.75), ("ramen", 0.25))),
    Row("two", (("ramen", 0.5), ("pizza", 0.5)), answered=False),
    Row('a,"b"', error="empty file"),
]


def test_the_three_forms() -> None:
    assert list(as_text(ROWS, 2)) == [
        "one\tpizza 75.0 %, ramen 25.0 %\n",
        "two\tnot sure: ramen 50.0 %, pizza 50.0 %\n",
        'a,"b"\tnot read: empty file\n',
    ]
    assert list(as_csv(ROWS, 2))[1:] == [
        "one,pizza,pizza,0.750000,ramen,0.250000,\n",
        "two,,ramen,0.500000,pizza,0.500000,\n",
        '"a,""b""",,,,,,empty file\n',
    ]
    answers = [json.loads(line) for line in as_json(ROWS, 2)]
    assert [(row["answer"], row["error"]) for row in answers] == [
        ("pizza", None),
        (None, None),
        (None, "empty file"),
    ]


def test_rows_keep_paths_and_answers_together() -> None:
    shares = np.array([0.2, 0.5, 0.3])

    def ask(paths: object) -> object:
        for path in list(paths):  # type: ignore[call-overload]
            yield DecodeError("empty file") if path == "bad" else shares

    found = list(rows(["x", "bad", "y"], ask, "abc", 2, 0.6))  # type: ignore[arg-type]
    unsure = (("b", 0.5), ("c", 0.3))
    assert found == [
        Row("x", unsure, answered=False),
        Row("bad", error="empty file"),
        Row("y", unsure, answered=False),
    ]
