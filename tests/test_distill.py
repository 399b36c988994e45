"""Distillation: the loss by hand, what the teacher sees, that it learns nothing, refusals."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bakeoff import capture, distill, machine, optimizers, step, stepping, store
from bakeoff import run as running
from bakeoff.data.dataset import Dataset, load
from bakeoff.data.spec import DataSpec
from bakeoff.fields import RecipeError
from bakeoff.inputs import from_pixels
from bakeoff.models import folder as model_folder
from bakeoff.models import limits, weights, zoo
from bakeoff.models.parts import freeze, train_mode
from bakeoff.options import Distill
from bakeoff.ranks import Ranks
from bakeoff.recipe import Recipe, parse
from bakeoff.study import Row, Run
from bakeoff.together import head_size

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "model": "baseline",
    "net": {"width": 4, "padding": 1, "dropout": 0.2},
    "size": 16,
    "precision": "fp32",
    "epochs": 2,
    "batch": 16,
    "augment": {"policy": "standard", "mixup": 0.3},
}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEOFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load(DataSpec(source="plates", per_class=5, validation=0.3), 16)


def saved(folder: Path, classes: tuple[str, ...], seed: int = 3, **fields: Any) -> Path:
    """Write a net of drawn weights as a model folder."""
    recipe = parse({**TINY, "net": {"width": 6, "padding": 1}, **fields})
    torch.manual_seed(seed)
    model_folder.write(folder, zoo.build(recipe, len(classes)), recipe, classes)
    return folder


@pytest.fixture
def wise(tmp_path: Path, plates: Dataset) -> Path:
    return saved(tmp_path / "wise", plates.classes)


def other_scale(folder: Path) -> None:
    """Let the model in `folder` be one that saw pixels of another mean and deviation."""
    content = json.loads((folder / "config.json").read_text())
    content["pretrained_cfg"] |= {"mean": [0.5, 0.25, 0.125], "std": [0.5, 0.25, 1.0]}
    (folder / "config.json").write_text(json.dumps(content))


def a_run(fields: dict[str, Any]) -> Run:
    row = Row("t", "v", parse(fields), {}, is_base=True)
    return Run(row, 0, {"split": 42, "init": 0, "order": 0, "augmentation": 0})


def finished(folder: Path, fields: dict[str, Any], plates: Dataset) -> Path:
    list(running.run(folder, a_run(fields), plates, CPU))
    return folder


def a_teacher(module: nn.Module, asked: Distill, ranks: Ranks | None = None) -> distill.Teacher:
    what = module, "d", 16, None, asked, machine.fabric(CPU, "fp32")
    return distill.Teacher(*what, ranks or Ranks())


def asked_for(place: Path, **fields: Any) -> dict[str, Any]:
    return {**TINY, "distill": {"teacher": str(place), **fields}}


def test_the_loss_is_the_one_worked_out_by_hand() -> None:
    """Two classes; the teacher's logits differ by 2, the student's by 0, softened by T = 2.

    Teacher: p = 1 / (1 + e^-1) = 0.7311. KL = p ln(p / 0.5) + (1-p) ln((1-p) / 0.5) = 0.11094,
    times T^2 = 0.44377. The student's own loss is ln 2 = 0.69315.
    """

    class Sure(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[2.0, 0.0]]).expand(len(images), 2)

    images, logits, labels = torch.zeros(3, 3, 16, 16), torch.zeros(3, 2), torch.tensor([0, 1, 0])
    own = nn.functional.cross_entropy(logits, labels)
    for share, wanted in ((0.0, 0.69315), (0.25, 0.63080), (1.0, 0.44377)):
        teacher = a_teacher(Sure(), Distill(teacher="x", share=share))
        assert teacher.joined(own, logits, images).item() == pytest.approx(wanted, abs=1e-5)
    hot = a_teacher(Sure(), Distill(teacher="x", share=1, temperature=1))
    assert hot.joined(own, logits, images).item() == pytest.approx(0.32781, abs=1e-5)  # p = 0.8808


def test_mixed_photographs_are_answered_mixed_and_targets_stay_soft() -> None:
    """The step itself: its loss is what mixed pixels and shares give, worked out beside it."""
    fields = asked_for(Path("x"), share=0.3, temperature=3)
    recipe = parse({**fields, "augment": {"mixup": 0.4}})
    work = a_work(recipe)
    torch.manual_seed(5)
    wise = zoo.build(recipe, 4)
    wise.module.eval()
    work = replace(work, teacher=a_teacher(wise.module, recipe.distill))
    batch = work.inputs.batch(torch.arange(6))
    images, targets = work.inputs.drawn(batch, torch.Generator().manual_seed(2))
    assert targets.shape == (6, 4)
    with torch.no_grad():
        student, taught = work.model(images), wise.module(images)
    soft = (taught / 3).softmax(1)
    apart = (soft * (soft.log() - (student / 3).log_softmax(1))).sum(1).mean()
    labels = -(targets * student.log_softmax(1)).sum(1).mean()
    wanted = 0.7 * labels + 0.3 * 9 * apart
    loss, _ = step.eager(work)(batch, torch.Generator().manual_seed(2))
    assert loss / 6 == pytest.approx(wanted.item(), rel=1e-5)


def a_work(recipe: Recipe) -> step.Work:
    """Return a net without dropout, to be stepped on 6 drawn photographs of 4 classes."""
    recipe = recipe.model_copy(update={"net": recipe.net.model_copy(update={"dropout": 0.0})})
    torch.manual_seed(0)
    net = zoo.build(recipe.model_copy(update={"weights": "none"}), 4)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    inputs = from_pixels(pixels, np.arange(6) % 4, net, 4, 16, recipe.augment, CPU)
    fabric = machine.fabric(CPU, "fp32")
    optimizer = optimizers.make(recipe, net.module.named_parameters())
    model, wrapped = fabric.setup(net.module, optimizer)
    train_mode(model)
    return step.Work(fabric, model, wrapped, inputs, recipe, None, (6,), 6)


def test_a_share_of_nothing_is_the_plain_run_bit_for_bit(
    tmp_path: Path, plates: Dataset, wise: Path
) -> None:
    plain = finished(tmp_path / "plain", TINY, plates)
    idle = finished(tmp_path / "idle", asked_for(wise, share=0), plates)
    taught = finished(tmp_path / "taught", asked_for(wise, share=0.5), plates)
    logits = []
    for folder in (plain, idle, taught):
        with np.load(folder / "predictions.npz") as arrays:
            logits.append(arrays["test_logits"])
    np.testing.assert_array_equal(logits[0], logits[1])
    assert np.abs(logits[0] - logits[2]).max() > 1e-3
    states = [load_file(each / "model/model.safetensors") for each in (plain, idle, taught)]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    shutil.rmtree(wise)
    net, recipe, _ = model_folder.read(taught / "model")
    assert recipe.distill.teacher == str(wise)
    assert torch.equal(net.module.state_dict()["fc2.bias"], states[2]["fc2.bias"])


def test_the_teacher_stays_what_it_is(
    tmp_path: Path, plates: Dataset, wise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors, batch norm's buffers and files; while the student's head comes to answer like it."""
    made: list[distill.Teacher] = []
    original = distill.teacher

    def kept(*arguments: Any) -> distill.Teacher | None:
        found = original(*arguments)
        made.extend([found] if found else [])
        return found

    def content(module: nn.Module) -> str:
        state = module.state_dict().values()
        return hashlib.sha256(b"".join(t.contiguous().numpy().tobytes() for t in state)).hexdigest()

    monkeypatch.setattr(distill, "teacher", kept)
    before = content(model_folder.read(wise)[0].module)
    files = {path.name: path.read_bytes() for path in wise.iterdir()}
    finished(tmp_path / "run", asked_for(wise, share=1), plates)
    (teacher,) = made
    assert content(teacher.module) == before
    assert not teacher.module.training
    assert not any(p.requires_grad or p.grad is not None for p in teacher.module.parameters())
    assert {path.name: path.read_bytes() for path in wise.iterdir()} == files


def test_it_sees_by_its_own_mean_deviation_and_size(tmp_path: Path, plates: Dataset) -> None:
    wise = saved(tmp_path / "wise", plates.classes, size=24, stored=24)
    other_scale(wise)
    recipe = parse(asked_for(wise))
    student = zoo.build(recipe, 10)
    teacher = distill.teacher(recipe, plates.classes, student, machine.fabric(CPU, "fp32"), CPU)
    assert teacher is not None
    pixels = torch.rand(2, 3, 16, 16)
    mean, std = (torch.tensor(each)[:, None, None] for each in (student.mean, student.std))
    own_mean, own_std = (
        torch.tensor(each)[:, None, None] for each in ((0.5, 0.25, 0.125), (0.5, 0.25, 1.0))
    )
    larger = nn.functional.interpolate(pixels, (24, 24), mode="bilinear", antialias=True)
    net, _, _ = model_folder.read(wise)
    with torch.no_grad():
        wanted = net.module((larger - own_mean) / own_std)
    torch.testing.assert_close(teacher.logits((pixels - mean) / std), wanted, rtol=1e-4, atol=1e-5)
    assert not teacher.logits(pixels).requires_grad


def test_two_processes_sum_to_what_one_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five rows one has three; labels are weighted, the teacher's answers are not."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    images, logits = torch.randn(5, 3, 16, 16), torch.randn(5, 4)
    asked = Distill(teacher="x", share=0.4)
    zero = torch.zeros(())
    whole = a_teacher(module, asked).joined(zero, logits, images)
    monkeypatch.setattr(Ranks, "summed", lambda _self, own: torch.full_like(own, 5.0))
    parts = []
    for rank in range(2):
        ranks = Ranks(rank, 2)
        own = ranks.own(5)
        parts.append(a_teacher(module, asked, ranks).joined(zero, logits[own], images[own]))
    torch.testing.assert_close(sum(parts) / 2, whole)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("a", "c", "b"), "class 2 of WISE is c, and here it is b; a teacher has exactly"),
        (("a", "b"), "class 3 of WISE is missing, and here it is c"),
        (("a", "b", "c", "d"), "class 4 of WISE is d, and here it is missing"),
    ],
)
def test_other_classes_are_refused_by_the_first_that_differs(
    tmp_path: Path, classes: tuple[str, ...], said: str
) -> None:
    wise = saved(tmp_path / "wise", classes)
    with pytest.raises(RecipeError, match=said.replace("WISE", str(wise))):
        distill.check(parse(asked_for(wise)), ("a", "b", "c"))


def test_what_is_no_teacher_is_refused(tmp_path: Path, wise: Path, plates: Dataset) -> None:
    with pytest.raises(
        RecipeError, match=r"^distill\.teacher: nowhere: no config\.json here; give"
    ):
        distill.check(parse(asked_for(Path("nowhere"))), plates.classes)
    (wise / "model.safetensors").unlink()
    with pytest.raises(RecipeError, match=r"model\.safetensors is not a file"):
        distill.check(parse(asked_for(wise)), plates.classes)
    for fields, said in (
        ({"share": 1.5}, r"distill\.share: 1\.5 is not allowed"),
        ({"temperature": 0}, r"distill\.temperature: 0 is not allowed"),
        ({"teacher": "", "share": 0.9}, r"distill: teacher is missing; without one, share and"),
    ):
        with pytest.raises(RecipeError, match=said):
            parse(asked_for(tmp_path, **fields))


def test_who_is_taught_needs_pixels(wise: Path, tmp_path: Path, plates: Dataset) -> None:
    """A frozen body is not cached, nor are its heads trained together, nor is its batch free."""
    base = {"model": "resnet18", "weights": "file", "freeze": "backbone", "size": 224}
    plain, taught = parse(base), parse({**base, "distill.teacher": "x"})
    net = zoo.build(parse({"model": "resnet18"}), 10)
    frozen = freeze(net, ["backbone"])
    assert head_size(plain, net, frozen) == 512
    assert head_size(taught, net, frozen) is None
    large = {"weights": "none", "batch": 8000}
    limits.check(plain.model_copy(update=large), 10, torch.device("cuda"))
    with pytest.raises(RecipeError, match=r"^batch: with 8000"):
        limits.check(taught.model_copy(update=large), 10, torch.device("cuda"))
    fields = {**asked_for(wise), "augment": {}, "freeze": ["conv1", "conv2"], "epochs": 1}
    finished(tmp_path / "run", fields, plates)
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["frozen_unchanged"] is True


def test_a_run_is_named_by_what_its_teacher_is_and_not_by_its_place(
    tmp_path: Path, wise: Path, plates: Dataset
) -> None:
    def identity(fields: dict[str, Any]) -> str:
        run = a_run(fields)
        return store.identity(run, "f", *weights.digests(run.row.recipe))

    shutil.copytree(wise, tmp_path / "run" / "best")
    taught = identity(asked_for(wise))
    assert identity(asked_for(tmp_path / "run")) == taught
    saved(tmp_path / "other", plates.classes, seed=4)
    others = [
        identity(TINY),
        identity(asked_for(tmp_path / "other")),
        identity(asked_for(wise, temperature=4)),
    ]
    assert len({taught, *others}) == 4
    other_scale(wise)
    assert identity(asked_for(wise)) != taught, "what it sees decides its answers too"


def test_an_identity_without_a_teacher_is_what_it_was() -> None:
    run = a_run({"model": "resnet18", "lr": 0.1})
    assert store.identity(run, "f", "w") == store.identity(run, "f", "w", "") == "346fe6eba3962869"


def test_a_step_is_shared_by_runs_with_the_same_teacher_alone(wise: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(wise, tmp_path / "moved")
    kinds = []
    for place, digest in ((wise, "one"), (moved, "one"), (wise, "two"), (wise, None)):
        recipe = parse({**asked_for(place), "augment": {}})
        work = a_work(recipe)
        if digest:
            teacher = a_teacher(nn.Identity(), recipe.distill)
            work = replace(work, teacher=replace(teacher, digest=digest))
        kinds.append(stepping._kind(work))
    assert kinds[0] == kinds[1]
    assert len(set(kinds)) == 3
    other = parse({**asked_for(wise, share=0.9), "augment": {}})
    assert stepping._kind(a_work(other)) not in kinds


def test_a_recorded_step_asks_the_teacher_too(tmp_path: Path, plates: Dataset, wise: Path) -> None:
    fields = asked_for(wise)
    finished(tmp_path / "plain", fields, plates)
    steps = stepping.Steps("captured_eager", capture.again)
    list(running.run(tmp_path / "bound", a_run(fields), plates, CPU, steps=steps))
    assert steps.used == "captured_eager"
    one, other = (
        load_file(tmp_path / name / "model/model.safetensors") for name in ("plain", "bound")
    )
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
