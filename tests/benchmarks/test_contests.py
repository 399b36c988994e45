"""Contests are fair and lose nothing: who gets which photographs, how long, and what is kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.defaults import DEFAULTS, Task
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import resnet18

from benchmarks import contests, entries, sets

LABELS = ("bread", "cake", "pie", "soup")
TRAIN, TEST = 12, 5  # photographs a class
COUNTS = (3, 5, 8)


@pytest.fixture(scope="module")
def food(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("food")
    drawing = np.random.default_rng(0)
    listed: dict[str, list[str]] = {"train": [], "test": []}
    for label in LABELS:
        (root / "images" / label).mkdir(parents=True)
        for number in range(TRAIN + TEST):
            pixels = drawing.integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(root / "images" / label / f"{number}.jpg")
            listed["train" if number < TRAIN else "test"].append(f"{label}/{number}")
    (root / "meta").mkdir()
    for split, lines in listed.items():
        (root / "meta" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def linked(drawn: sets.Drawn) -> dict[str, str]:
    return {
        str(path.relative_to(drawn.folder)): str(path.resolve())
        for path in sorted(drawn.folder.glob("*/*"))
    }


def test_the_sets_are_few_five_and_unbalanced() -> None:
    assert sets.SETS["few"] == (40,) * 20
    assert sets.SETS["five"] == (600,) * 5
    counts = sets.SETS["unbalanced"]
    assert (counts[0], counts[-1], len(counts)) == (20, 600, 20)
    assert counts[1] == 24  # 20 x 30^(1/19) = 23.92
    assert sets.log_spaced(1, 27, 4) == (1, 3, 9, 27)


def test_every_class_gets_its_number_and_no_test_photograph(food: Path, tmp_path: Path) -> None:
    drawn = sets.draw(food, COUNTS, tmp_path / "drawn", seed=0)
    files = linked(drawn)
    assert sorted(drawn.counts.values()) == [3, 5, 8]
    for label, count in drawn.counts.items():
        assert sum(name.startswith(f"{label}/") for name in files) == count
    trained = {tuple(Path(file).parts[-2:]) for file in files.values()}
    assert len(trained) == 3 + 5 + 8
    assert all(int(Path(name).stem) < TRAIN for _, name in trained)
    assert len(drawn.test) == 3 * TEST
    assert {label for _, label in drawn.test} == set(drawn.counts)
    assert all(int(Path(file).stem) >= TRAIN for file, _ in drawn.test)
    assert all(Path(file).parent.name == label for file, label in drawn.test)


def test_the_same_seed_draws_the_same_files_and_another_does_not(
    food: Path, tmp_path: Path
) -> None:
    first, again, other = (
        sets.draw(food, COUNTS, tmp_path / name, seed)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert linked(first) == linked(again)
    assert (first.counts, first.test) == (again.counts, again.test)
    assert linked(first) != linked(other)


def test_what_cannot_be_drawn_is_refused(food: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has 12 of 13 photographs"):
        sets.draw(food, (13,), tmp_path / "a", 0)
    with pytest.raises(SystemExit, match="has 4 classes; needed are 5"):
        sets.draw(food, (1,) * 5, tmp_path / "b", 0)
    with pytest.raises(SystemExit, match=r"there is no meta/train\.txt"):
        sets.draw(tmp_path, (1,), tmp_path / "c", 0)


def test_as_many_epochs_as_fit_and_at_least_one() -> None:
    # one epoch and all around it took 40 s; each further one costs 10 s
    assert entries.epochs_that_fit(40.0, 10.0, 60.0) == 3
    assert entries.epochs_that_fit(40.0, 10.0, 59.9) == 2
    assert entries.epochs_that_fit(40.0, 10.0, 30.0) == 1


def test_judging_counts_classes_alike_in_balanced_accuracy() -> None:
    test = [("", "pie")] * 8 + [("", "soup")] * 2
    found = contests.judged(["pie"] * 9 + ["soup"], test)
    assert found["accuracy"] == 0.9
    assert found["balanced_accuracy"] == 0.75  # (8/8 + 1/2) / 2
    assert found["right"] == "1111111101"
    assert found["test"] == 10
    assert found["interval"] == pytest.approx([0.5550, 0.9975], abs=1e-4)  # Clopper-Pearson 9/10


def test_a_peer_is_compared_with_bakeoff_on_the_same_photographs() -> None:
    ours = {"accuracy": 0.75, "right": "11110110"}
    theirs = {"accuracy": 0.5, "right": "11001001"}
    drawn = sets.Drawn(Path(), {"pie": 30, "soup": 10}, (("", "pie"),) * 4 + (("", "soup"),) * 4)
    all_of_them = {"bakeoff": ours, "timm": theirs, "fastai": {"error": "it broke"}}
    found = contests.compared(all_of_them, drawn)
    lead = found["timm"]["lead"]
    assert (lead["accuracy"], lead["gained"], lead["lost"]) == (0.25, 4, 2)
    assert lead["p"] == pytest.approx(44 / 64)  # two-sided sign test of 4 against 2
    assert lead["interval"][0] < 0.25 < lead["interval"][1]
    assert found["fastai"] == {"error": "it broke"}
    assert found["bakeoff"] == ours | {"proportional_accuracy": (30 * 1.0 + 10 * 0.5) / 40}


def faked(monkeypatch: pytest.MonkeyPatch, seconds: float = 60.0) -> list[str]:
    """Let bakeoff answer all right, timm `soup` always, and others fail; return who was called."""
    called: list[str] = []

    def ours(task, given, folder, photographs, fields):
        called.append(" ".join(["bakeoff", *fields]))
        return {"seconds": seconds, "epochs": 8}, [Path(file).parent.name for file in photographs]

    def peer(name, task, given, folder, photographs, python):
        called.append(name)
        if name != "timm":
            raise RuntimeError(f"{name} broke")
        return {"seconds": seconds, "epochs": 2}, ["soup" for _ in photographs]

    monkeypatch.setattr(entries, "ours", ours)
    monkeypatch.setattr(entries, "peer", peer)
    return called


def held(food: Path, out: Path, *more: str) -> dict[str, dict[str, object]]:
    weights = food / "weights.safetensors"
    weights.touch()
    given = ["--data", str(food), "--weights", str(weights), "--out", str(out), "--quick"]
    contests.main([*given, "--minutes", "1", "--only", *more])
    (path,) = out.glob("contests-five-1m-quick-*.json")
    return json.loads(path.read_text())["results"]


def test_a_contest_keeps_what_was_measured_and_resumes(
    food: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sets.QUICK, "five", (4, 4))
    called = faked(monkeypatch)
    results = held(food, tmp_path, "five,timm,fastai")
    assert results["fastai"]["error"] == "fastai broke"
    assert results["timm"]["within"] is True
    results = held(food, tmp_path, "five,bakeoff", "--resume")
    assert results["bakeoff"]["accuracy"] == 1.0
    assert set(results) == {"bakeoff", "timm", "fastai"}
    assert results["timm"]["lead"]["accuracy"] == 1 - results["timm"]["accuracy"]
    called.clear()
    held(food, tmp_path, "five", "--resume")
    assert called == ["fastai", "transformers"]
    assert str(tmp_path) not in json.dumps(results)
    monkeypatch.setitem(sets.QUICK, "five", (4, 5))
    with pytest.raises(SystemExit, match="held with other settings"):
        held(food, tmp_path, "five")


def test_fields_set_for_bakeoff_are_kept_beside_what_it_does_by_itself(
    food: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sets.QUICK, "five", (4, 4))
    called = faked(monkeypatch)
    held(food, tmp_path / "set", "five,bakeoff", "--set", "class_weights=balanced")
    assert called == ["bakeoff class_weights=balanced"]
    (path,) = (tmp_path / "set").iterdir()
    assert path.name.startswith("contests-five-1m-quick-set-")
    assert json.loads(path.read_text())["settings"]["set"] == ["class_weights=balanced"]


def test_what_took_a_tenth_more_than_given_is_marked(
    food: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sets.QUICK, "five", (4, 4))
    for seconds, within in ((66.0, True), (66.1, False)):
        faked(monkeypatch, seconds)
        assert held(food, tmp_path, "five,bakeoff")["bakeoff"]["within"] is within


def test_results_are_written_after_every_contender(
    food: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sets.QUICK, "five", (4, 4))
    faked(monkeypatch)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entries, "peer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        held(food, tmp_path, "five")
    (path,) = tmp_path.glob("contests-five-*.json")
    assert set(json.loads(path.read_text())["results"]) == {"bakeoff"}


def test_only_and_weights_are_checked_before_anything_is_trained(food: Path) -> None:
    with pytest.raises(SystemExit, match="there is no timn"):
        held(food, food, "timn")
    with pytest.raises(SystemExit, match="is not a file"):
        contests.main(["--data", str(food), "--weights", "absent.safetensors"])


def test_timms_default_trains_and_answers_in_processes_of_its_own(
    food: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(resnet18().state_dict(), weights)
    drawn = sets.draw(food, (4, 4), tmp_path / "photographs", seed=0)
    photographs = [file for file, _ in drawn.test]
    (tmp_path / "timm").mkdir()
    task = Task(str(drawn.folder), str(weights), epochs=1)
    result, answers = entries.peer(
        "timm", task, 0.0, tmp_path / "timm", photographs, sys.executable
    )
    assert len(answers) == len(photographs)
    assert set(answers) <= set(drawn.counts)
    assert result["epochs"] == 1
    assert result["trial"]["epoch"] == result["phases"]["train"] < result["seconds"]
    assert result["recipe"]["batch"] == 7  # of 8 photographs one is held out


def test_a_peer_that_fails_is_named_with_its_reason(food: Path, tmp_path: Path) -> None:
    task = Task(str(food / "images"), str(tmp_path / "absent.safetensors"), epochs=1)
    with pytest.raises(RuntimeError, match="FileNotFoundError"):
        entries.peer("timm", task, 0.0, tmp_path, [], sys.executable)


def test_every_default_is_a_module_that_trains_and_answers() -> None:
    for module in DEFAULTS.values():
        text = (Path(contests.__file__).parent / "defaults" / f"{module}.py").read_text()
        assert "def train(task: Task, folder: Path, clock: Clock) -> dict[str, Any]:" in text
        assert "def answers(task: Task, folder: Path, photographs: Sequence[str])" in text
        assert "PACKAGES = (" in text
