"""Studies: reading, rows, runs, overrides, and what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakeoff import study as studies
from bakeoff.fields import RecipeError
from bakeoff.named import expanded

REPORT = {
    "custom": ["baseline", *(f"custom{n}" for n in range(1, 8))],
    "resnet18": ["stock", *(f"resnet{n}" for n in range(1, 7))],
    "vgg16_bn": ["stock", *(f"vgg{n}" for n in range(1, 7))],
}


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def one_table(folder: Path, variants: str, recipe: str = "{model: baseline}") -> Path:
    return write(folder, f"name: s\ntables: {{t: {{recipe: {recipe}, variants: {variants}}}}}\n")


def test_the_report_s_22_rows_are_there_under_its_names() -> None:
    found: dict[str, list[str]] = {}
    for row in studies.rows(studies.read("food101-20")):
        found.setdefault(row.table, []).append(row.variant)
    assert found == REPORT


@pytest.mark.parametrize("name", list(studies.shipped()))
def test_every_variant_of_a_shipped_study_changes_exactly_the_fields_it_names(name: str) -> None:
    study = studies.read(name)
    named = {
        (table, variant): set(expanded(change, name))  # dotted, as the files have them
        for table, content in study.tables.items()
        for variant, change in content.variants.items()
    }
    for row in studies.rows(study):
        if not row.is_base:
            changes = named.pop((row.table, row.variant))
            like = "like" in study.tables[row.table].variants[row.variant]
            assert set(row.change) <= changes if like else set(row.change) == changes, row.variant
    assert not named


@pytest.mark.parametrize("name", list(studies.shipped()))
def test_every_shipped_study_opens_with_question_command_cost_and_expected_result(
    name: str,
) -> None:
    text = studies.shipped()[name].read_text(encoding="utf-8")
    head = text.split("\nname:")[0]
    for word in ("Question:", "Command:", "Cost:", "Expected:"):
        assert word in head


def test_runs_go_seed_by_seed_and_more_seeds_come_after_the_study_s_own(tmp_path: Path) -> None:
    path = write(tmp_path, "name: s\nseeds: [7, 1]\ntables: {t: {variants: {b: {lr: 0.1}}}}\n")
    study = studies.read(path)
    assert [run.name for run in studies.runs(study)] == [
        "t/base/seed-7",
        "t/b/seed-7",
        "t/base/seed-1",
        "t/b/seed-1",
    ]
    assert [run.seed for run in studies.runs(study, ["t/base"], 4)] == [7, 1, 0, 2]


def test_a_seed_draws_anew_only_what_the_study_varies(tmp_path: Path) -> None:
    text = "name: s\nseeds: [3]\nvary: [split, order]\ndata: {split_seed: 40}\ntables: {t: {}}\n"
    (run,) = studies.runs(studies.read(write(tmp_path, text)))
    assert run.seeds == {"split": 43, "init": 0, "order": 3, "augmentation": 0}


def test_overrides_reach_all_bases_one_table_or_the_data() -> None:
    sets = ["epochs=3", "resnet18/weights=w.safetensors", "data.classes=all"]
    study = studies.read("food101-20", sets)
    rows = {(row.table, row.variant): row.recipe for row in studies.rows(study)}
    assert {recipe.epochs for recipe in rows.values()} == {3}
    assert rows["resnet18", "resnet2"].weights == "w.safetensors"
    assert rows["vgg16_bn", "stock"].weights == "imagenet"
    assert study.data.classes == "all"


def test_only_keeps_the_base_out_unless_asked_for_and_takes_tables_and_variants() -> None:
    study = studies.read("food101-20")
    only = ["resnet18/resnet2", "custom"]
    names = [f"{row.table}/{row.variant}" for row in studies.rows(study, only)]
    assert names == [f"custom/{v}" for v in REPORT["custom"]] + ["resnet18/resnet2"]


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ("{b: {lr: 0.001}}", "tables.t.variants.b: lr=0.001 changes nothing"),
        ("{b: {}}", "an empty change changes nothing"),
        ("{b: {lr: 0.1}, c: {lr: 1.0e-1}}", "tables.t.variants.c: lr=0.1 is the same recipe as b"),
        ("{base: {lr: 0.1}}", "base names both the base and a variant"),
        ("{b: {lrr: 0.1}}", "tables.t.variants.b: lrr is not a field; did you mean lr?"),
        ("{b: {optimizer: 3}}", "optimizer: 3 is not allowed"),
        ('{"../b": {lr: 0.1}}', "is not allowed: string should match pattern"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(tmp_path: Path, variants: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        studies.rows(studies.read(one_table(tmp_path, variants)))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tables: {t: {}}", "name is missing"),
        ("name: s", "tables is missing"),
        ("- a", "a study is a mapping"),
        ("name: [", "this is not YAML"),
        ("name: s\ntabels: {}\ntables: {t: {}}", "tabels is not a field; did you mean tables?"),
        (
            "name: s\ntables: {t: {varaints: {}}}",
            "tables.t.varaints is not a field; did you mean variants?",
        ),
        ("name: s\nseeds: [1, 1]\ntables: {t: {}}", "a seed stands there twice"),
        ("name: s\nseeds: 0\ntables: {t: {}}", "seeds"),
    ],
)
def test_a_study_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        studies.read(write(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("study", "sets", "only", "said"),
    [
        ("food10-20", [], [], "neither a file nor a shipped study; did you mean food101-20?"),
        ("demo", ["lr"], [], "write it as field=value"),
        ("food101-20", ["resnt18/lr=1"], [], "no such table; did you mean resnet18?"),
        ("food101-20", [], ["custom77"], "no such table or variant; did you mean custom7?"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_one(
    study: str, sets: list[str], only: list[str], said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        studies.runs(studies.read(study, sets), only)
    assert said in str(caught.value)
