"""Studies, CSV files and names from anywhere: each is read or refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bakeoff import study as studies
from bakeoff.data.dataset import load
from bakeoff.data.photographs import DataError
from bakeoff.data.spec import DataSpec
from bakeoff.documents import read_yaml
from bakeoff.fields import RecipeError
from bakeoff.models import weights

STUDY = """
name: a
data: {source: plates}
tables: {t: {base: b, variants: {v: {lr: 0.1}}}}
"""


def refusal(work: Callable[[], object]) -> str:
    """Return the one sentence with which `work` is refused, or an empty text."""
    try:
        work()
    except (RecipeError, DataError) as error:
        said = str(error)
    else:
        return ""
    assert "\n" not in said
    assert 0 < len(said) < 1000
    return said


def read(folder: Path, text: str | bytes) -> str:
    """Read a study file to its runs; return the refusal, which must be one sentence, or nothing."""
    path = folder / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return refusal(lambda: studies.runs(studies.read(path)))


BOMB = "".join(
    f"{letter}: &{letter} [{', '.join([before] * 9)}]\n"
    for before, letter in zip(["x", *(f"*{c}" for c in "ghijklmn")], "ghijklmno", strict=True)
)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("seeds: 2001-13-45", "month must be in"),
        (BOMB, "more than 100000 values"),
        ("recipe: &r {net: *r}", "stands inside itself"),
        ("recipe: " + "[" * 500_000, "nested more than 40 deep"),
        ("seeds: 1000000000000", "too many; allowed: 10000"),
        ("seeds: [" + "9" * 5000 + "]", "5000 characters"),
        ("recipe: {epochs: " + "9" * 400 + "}", "less than or equal"),
        ("recipe: {epochs: 0x" + "f" * 9000 + "}", "9002 characters"),
        ("x: !!python/object/apply:os.system ['touch pwned']", "could not determine a constructor"),
        ("x: !!timestamp abc", "not YAML"),
        ("x: !!int abc", "not YAML"),
        ("? [a]\n: 1", "unhashable"),
        ("recipe: {model: custom, net: abc}", "net: 'abc' is not allowed"),
        ("recipe: {model: custom, net: null}", "net: None is not allowed"),
        ("recipe: {1: 2}", "recipe.1"),
    ],
)
def test_study_files_that_the_fuzzers_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in read(tmp_path, STUDY + more + "\n")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["best", "Report", "study.yaml", "../t", "a/b", "con\n"])
def test_a_table_cannot_take_another_s_folder(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, STUDY.replace("{t:", f"{{{name!r}:"))


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    assert "V would share its folder with v" in read(
        tmp_path, STUDY.replace("{lr: 0.1}", "{lr: 0.1}, V: {lr: 0.2}")
    )


FIELDS = [
    "name", "question", "data", "seeds", "vary", "recipe", "tables", "base", "variants", "t",
    "source", "classes", "every", "lr", "net", "model", "freeze", "epochs", "size", "augment",
]  # fmt: skip
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["plates", "baseline", "custom", "all", "b", "v", "resnet18"]),
    st.dates(),
    st.binary(max_size=4),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS) | st.text(max_size=4) | st.integers(), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_yaml_is_a_study_or_a_sentence(tmp_path: Path, data: st.DataObject) -> None:
    content: dict[Any, Any] = yaml.safe_load(STUDY)
    for field in data.draw(st.lists(st.sampled_from([*FIELDS[:7], "other"]), max_size=3)):
        content[field] = data.draw(values)
    text = yaml.safe_dump(content, allow_unicode=data.draw(st.booleans()))
    read(tmp_path, text)
    start = data.draw(st.integers(0, len(text)))
    read(tmp_path, text[:start] + data.draw(st.text(max_size=5)) + text[start:])


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_value_on_the_command_line_is_read_or_refused(text: str) -> None:
    refusal(lambda: read_yaml(text, "--set lr"))


@pytest.fixture
def rows(tmp_path: Path) -> str:
    for number in range(20):
        Image.effect_noise((24, 24), 90).save(tmp_path / f"{number}.png")
    return "path,label\n" + "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(20))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("\0.png,a", "not there"),
        ('"' + "x" * 200_000 + '",a', "field larger than field limit"),
        ("y" * 5000 + ".png,a", "not there"),
        ("plates:pizza/" + "9" * 5000 + ",a", "no picture of plates"),
        ("plates:../../x/1,a", "no picture of plates"),
        ("/dev/zero,a", "not there"),
        ("loop.png,a", "not there"),
        ("/etc/hostname,a", "cannot be decoded"),
        ("../../../../../../../../../etc/hostname,a", "cannot be decoded"),
        ('19.png,"a\nb"', "stands in line"),
        ("x.csv,\x1b[31mred", "control characters"),
        ("\udcff.png,a", "not UTF-8"),
    ],
)
def test_rows_of_a_csv_that_the_fuzzers_found(
    tmp_path: Path, rows: str, line: str, said: str
) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    file = tmp_path / "x.csv"
    file.write_bytes((rows + line + "\n").encode("utf-8", "surrogateescape"))
    assert said in refusal(lambda: load(DataSpec(source=str(file)), 16))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(start=st.integers(0, 300), cut=st.integers(0, 40), put=st.binary(max_size=12))
def test_any_csv_is_a_list_or_a_sentence(
    tmp_path: Path, rows: str, start: int, cut: int, put: bytes
) -> None:
    data = rows.encode()
    file = tmp_path / "fuzzed.csv"
    file.write_bytes(data[:start] + put + data[start + cut :])
    refusal(lambda: load(DataSpec(source=str(file)), 16, skip_bad=True))


@pytest.mark.parametrize(
    "names",
    [
        ("<script>alert(1)</script>".replace("/", "|"), "'; DROP TABLE"),
        ("é", "e\u0301"),
        ("x" * 200, "-rf"),
        ("=1+1", "@b"),
        ("A", "a"),
        ("ラーメン", "寿司"),
    ],
)
def test_names_of_all_kinds_are_kept_and_read_back(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            Image.effect_noise((24, 24), 90).save(tmp_path / "photos" / name / f" {number} '.png")
    if len(list((tmp_path / "photos").iterdir())) < 2:
        pytest.skip("this file system folds case")
    one = load(DataSpec(source=str(tmp_path / "photos")), 16)
    one.write_manifest(tmp_path / "split.csv")
    other = load(DataSpec(source=str(tmp_path / "split.csv")), 16)
    assert set(one.classes) == set(other.classes) == set(names)


def test_links_in_circles_are_walked_once(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(8):
            Image.effect_noise((24, 24), 90).save(tmp_path / name / f"{number}.png")
    (tmp_path / "a/again").symlink_to(".")
    (tmp_path / "a/itself").symlink_to("itself")
    (tmp_path / "itself").symlink_to("itself")
    assert len(load(DataSpec(source=str(tmp_path)), 16)) == 16


@pytest.mark.parametrize("source", ["x" * 5000, "x" * 5000 + ".csv", "a\0b"])
def test_impossible_names_are_refused(source: str) -> None:
    with pytest.raises(DataError):
        load(DataSpec(source=source), 16)
    with pytest.raises(RecipeError):
        studies.read(source)
    with pytest.raises(RecipeError):
        weights.read(Path(source.replace("\0", "")))
