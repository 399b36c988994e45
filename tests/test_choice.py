"""What `bakeoff train` chooses, and why; and the recipes with a name that it chooses among."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bakeoff import chosen, speed
from bakeoff import study as studies
from bakeoff.choice import Choice, Folder, Speed, Start, choose, uneven
from bakeoff.fields import RecipeError
from bakeoff.named import NAMED
from bakeoff.recipe import parse
from bakeoff.settings import Settings

TWO_CORES = Speed(learning=32.0, seeing=128.0)
FAST = Speed(learning=4_000.0, seeing=12_000.0)


def folder(train: int, smallest: int) -> Folder:
    return Folder(train=train, validation=train // 4, test=train // 2, smallest=smallest)


def test_the_budget_buys_epochs_as_worked_out_by_hand() -> None:
    # 0.85 * 600 - 25 - 2,800 / 500 = 479.4 s; head first 2,800 / 128 = 21.875; after them
    # (1,600 + 2 * 1,200) / 128 = 31.25; an epoch 1,600 / 32 + 800 / 128 = 56.25 s: 7.58 fit
    found = choose(folder(1_600, 320), TWO_CORES, 600, Start())
    assert found.fields == {"like": "best/finetuned", "epochs": 7}
    assert found.because[1] == (
        "32 photographs a second at 224 px: 7 epochs at 224 px fit into 10 minutes"
    )


def test_fewer_pixels_come_before_fewer_epochs_and_a_head_before_too_few() -> None:
    fields = [choose(folder(n, 500), TWO_CORES, 600, Start()).fields for n in (2_200, 4_000, 9_000)]
    assert fields[0] == {"like": "best/finetuned", "epochs": 6, "train_size": 192}
    assert fields[1]["train_size"] == 128
    assert fields[2] == {"like": "best/features", "epochs": 40}


def test_more_photographs_a_second_buy_no_more_epochs_than_pay() -> None:
    assert choose(folder(10_000, 500), FAST, 3600, Start()).fields["epochs"] == 6
    found = choose(folder(2_000, 500), FAST, 3600, Start())
    assert found.fields["epochs"] == 20
    assert found.because[-1] == "20 epochs are enough for 2000 photographs"


def test_a_net_of_one_size_is_never_given_fewer_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_size = Start(resizable=False)
    assert "train_size" not in choose(folder(1_600, 320), TWO_CORES, 600, one_size).fields
    assert choose(folder(4_000, 500), TWO_CORES, 600, one_size).fields["like"] == "best/features"
    monkeypatch.setattr(speed, "measured", lambda *_: Speed(20.0, 60.0))
    asked = ["data.source=plates", "data.per_class=300", "weights=start.pth"]
    for model, sizes in (("timm/vit_tiny_patch16_224", {None}), ("resnet18", {128})):
        study, _ = chosen.study([*asked, f"model={model}"], tmp_path / model, Settings(), "10m")
        assert studies.rows(study)[0].recipe.train_size in sizes


def test_few_photographs_a_class_get_a_head_and_folds() -> None:
    found = choose(folder(600, 49), FAST, 600, Start())
    assert found.fields == {"like": "best/features", "epochs": 40}
    assert found.folds == 5
    assert found.because[0].startswith("the smallest class has 49 photographs to train, under 50")
    given = Folder(train=600, validation=150, test=300, smallest=30, given=True)
    assert choose(given, FAST, 600, Start()).folds == 0
    assert choose(folder(9_000, 49), FAST, 600, Start()).folds == 0


def test_uneven_classes_are_said_to_be_so_unless_they_are_weighed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "measured", lambda *_: FAST)
    for label, count in (("common", 40), ("rare", 10)):
        (tmp_path / "photographs" / label).mkdir(parents=True)
        for number in range(count):
            shade = (5 * number, 0, 200 * (label == "rare"))
            Image.new("RGB", (8, 8), shade).save(tmp_path / f"photographs/{label}/{number}.png")
    asked = [f"data.source={tmp_path / 'photographs'}", "weights=start.pth"]
    _, because = chosen.study(asked, tmp_path / "told", Settings(), "10m")
    assert because[-1] == (
        "the largest class has 26 photographs to train, the smallest 6: "
        "class_weights=balanced would make every class count alike"
    )
    weighed = [*asked, "class_weights=balanced"]
    _, because = chosen.study(weighed, tmp_path / "weighed", Settings(), "10m")
    assert not any("class_weights" in reason for reason in because)
    assert uneven(Folder(train=100, validation=20, test=20, smallest=20, largest=59)) == ()


def test_without_start_weights_a_small_net_learns() -> None:
    found = choose(folder(1_600, 320), TWO_CORES, 600, Start(pretrained=False))
    assert found.fields["like"] == "best/scratch"
    assert found.fields["model"] == "custom"
    named = choose(folder(1_600, 320), TWO_CORES, 600, Start(pretrained=False, named=True))
    assert "model" not in named.fields
    frozen = choose(folder(1_600, 320), TWO_CORES, 600, Start(frozen=True))
    assert frozen.fields["like"] == "best/features"


@pytest.mark.parametrize("name", NAMED)
def test_every_named_recipe_is_one(name: str) -> None:
    start = "none" if name == "best/scratch" else "start.pth"
    recipe = parse({"like": name, "weights": start, "epochs": 3})
    assert recipe.epochs == 3
    assert recipe.schedule == "cosine"


def test_a_name_lays_its_fields_over_the_base_and_is_laid_over_itself() -> None:
    text = {"lr": 1e-5, "weights": "x.pth", "epochs": 9}
    study = studies.Study(
        name="mine",
        tables={
            "t": studies.Table(
                recipe=text,
                variants={"best": {"like": "best/finetuned", "augment": {"policy": "trivial"}}},
            )
        },
    )
    base, best = (row.recipe for row in studies.rows(study))
    assert (base.lr, best.lr, best.epochs, best.augment.policy) == (1e-5, 5e-4, 9, "trivial")
    with pytest.raises(RecipeError, match="no recipe is named best/tuned; did you mean best/fine"):
        parse({"like": "best/tuned"})


def test_the_speed_is_that_of_the_net_and_draws_nothing() -> None:
    import torch

    recipe = parse({"model": "baseline", "net.width": 4, "size": 32, "batch": 8, "net.padding": 1})
    torch.manual_seed(3)
    before = torch.get_rng_state()
    found = speed.measured(recipe, 3, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)
    assert found.seeing > 0
    assert found.learning > 0


def test_what_was_chosen_is_kept_and_what_is_asked_for_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = iter([Speed(50.0, 150.0), Speed(1.0, 3.0)])
    monkeypatch.setattr(speed, "measured", lambda *_: next(speeds))
    asked = ["data.source=plates", "data.per_class=100", "weights=start.pth", "lr=0.007"]
    study, first = chosen.study(asked, tmp_path, Settings(), "10m")
    again, second = chosen.study(asked, tmp_path, Settings(), "10m")
    assert (study, first) == (again, second)
    (row,) = studies.rows(study)
    assert (row.recipe.lr, row.recipe.optimizer) == (0.007, "adamw")
    slower, _ = chosen.study([*asked, "batch=16"], tmp_path, Settings(), "10m")
    assert studies.rows(slower)[0].recipe.freeze == ("backbone",)
    assert chosen.study(asked, tmp_path, Settings(), "10m")[0] == study, "the first is not lost"


def test_a_net_without_a_head_of_its_own_has_none_trained_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "measured", lambda *_: FAST)
    asked = ["data.source=plates", "data.per_class=100", "weights=start.pth", "model=googlenet"]
    study, _ = chosen.study(asked, tmp_path, Settings(), "10m")
    (row,) = studies.rows(study)
    assert (row.recipe.head_epochs, row.recipe.optimizer) == (0, "adamw")


@pytest.mark.parametrize(("model", "reads"), [("resnet18", "stages"), ("vgg16_bn", "last")])
def test_a_head_reads_all_stages_where_the_net_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, reads: str
) -> None:
    monkeypatch.setattr(speed, "measured", lambda *_: FAST)
    asked = ["data.source=plates", "data.per_class=10", "weights=start.pth", f"model={model}"]
    study, _ = chosen.study(asked, tmp_path, Settings(), "10m")
    assert {row.recipe.head_reads for row in studies.rows(study)} == {reads}


def test_folds_vary_the_split_and_give_a_run_each(tmp_path: Path) -> None:
    choice = Choice({"like": "best/features", "epochs": 2}, folds=5)
    study = chosen._laid_under(["data.source=plates", "weights=start.pth"], choice)
    runs = studies.runs(study)
    assert [run.seeds["split"] for run in runs] == [42, 43, 44, 45, 46]
    assert study.data.folds == 5
    own = chosen._laid_under(["data.source=plates", "weights=x", "epochs=7"], choice)
    assert studies.rows(own)[0].recipe.epochs == 7
