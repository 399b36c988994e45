"""The commands that look: `check`, `explain`, `claims` and `replication`, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from bakeoff.cli import app
from bakeoff.data import plates

STUDY = """
name: tiny
data: {source: plates, per_class: 4, validation: 0.5}
recipe: {model: baseline, size: 32, net: {width: 4, padding: 1}, epochs: 1, precision: fp32}
tables:
  small:
    base: plain
    variants:
      silu: {net.activation: silu}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished study; the working directory is where it lies."""
    place = tmp_path_factory.mktemp("looking")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        (place / "tiny.yaml").write_text(STUDY)
        assert CliRunner().invoke(app, ["run", "tiny.yaml"]).exit_code == 0
        yield place


def call(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})
    assert done.exit_code == code, done.output
    return done


def drawn(folder: Path) -> Path:
    """Photographs of two classes, six each, all different."""
    kinds = ("curry", "salad")
    for number, name in enumerate(("curry", "soup")):
        (folder / name).mkdir(parents=True)
        for index in range(6):
            pixels = plates.draw(f"plates:{kinds[number]}/{index}", 96)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def test_check_tells_what_harms_and_its_exit_code_says_so(tmp_path: Path) -> None:
    photographs = drawn(tmp_path / "photos")
    assert "Nothing wrong was found." in call("check", str(photographs)).output
    (photographs / "soup/again.png").write_bytes((photographs / "curry/0.png").read_bytes())
    (photographs / "soup/torn.png").write_bytes((photographs / "soup/1.png").read_bytes()[:300])
    said = call("check", str(photographs), code=1).output
    assert "the same picture in different classes" in said
    assert "2 kinds of findings harm" in said
    found = json.loads(call("check", str(photographs), "--json", code=1).stdout)
    harmful = [each for each in found["findings"] if each["weight"] == "harm"]
    assert {each["kind"]: each["count"] for each in harmful} == {"truncated": 1, "conflict": 2}


def test_check_of_nothing_is_one_sentence(tmp_path: Path) -> None:
    done = call("check", str(tmp_path / "nowhere"), code=2)
    assert done.output.startswith("bakeoff: ")
    assert done.output.count("\n") == 1


def test_explain_a_run_draws_pictures_and_lists_layers(study: Path, tmp_path: Path) -> None:
    photograph = tmp_path / "dish.png"
    Image.fromarray(plates.draw("plates:curry/0", 64)).save(photograph)
    run = "runs/tiny/small/plain/seed-0"
    said = call("explain", run, str(photograph), "--out", str(tmp_path / "out")).output
    pictures = sorted(path.name for path in (tmp_path / "out").rglob("*.png"))
    assert pictures
    assert all(name in said for name in pictures)
    assert "Conv2d" in said
    refused = call("explain", run, str(photograph), "--layer", "convv1", code=2).output
    assert refused.startswith("bakeoff: ")


def test_claims_are_judged_one_a_line(study: Path) -> None:
    (study / "claims.yaml").write_text("- silu beats plain\n")
    said = call("claims", "runs/tiny", "--claims", "claims.yaml").output
    assert "cannot tell" in said
    assert "over 1 seed, 6 are needed" in said
    refused = call("claims", "runs/tiny", "--claims", "nowhere", code=2).output
    assert refused.startswith("bakeoff: ")
    assert "nowhere" in refused


def test_replication_needs_the_report_s_study(study: Path, tmp_path: Path) -> None:
    done = call("replication", "runs/tiny", "--out", str(tmp_path / "replication.md"), code=2)
    assert done.output.startswith("bakeoff: ")
    assert not (tmp_path / "replication.md").exists()
