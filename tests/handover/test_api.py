"""The Python API: its examples run, and it sees a photograph exactly as training did."""

from __future__ import annotations

import doctest
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss

import bakeoff
from bakeoff import api
from bakeoff.classifier import Classifier
from bakeoff.data.photographs import DataError
from bakeoff.fields import RecipeError


def test_the_examples_in_the_documentation_run(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photographs").symlink_to(workplace / "photographs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bakeoff.conduct._explain", lambda _job: None)  # Grad-CAM takes its time
    made = (bakeoff.compare, bakeoff.train)  # the others open what they made
    told = (bakeoff.load, bakeoff.Study, Classifier.predict, Classifier.predict_proba)
    for documented in (*made, *told):
        names = {**vars(sys.modules[documented.__module__])}
        (example,) = doctest.DocTestFinder(recurse=False).find(documented, globs=names)
        assert example.examples, documented
        assert doctest.DocTestRunner().run(example).failed == 0
    assert bakeoff.train is api.train, "no module has taken the name of a function"


def test_importing_bakeoff_imports_no_torch_and_names_are_found_late() -> None:
    code = (
        "import sys, bakeoff; bakeoff.Study; bakeoff.load; bakeoff.compare; "
        "assert 'load' in dir(bakeoff); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        bakeoff.lod  # noqa: B018


def test_no_module_takes_the_name_of_what_the_package_offers() -> None:
    rooms = {module.name for module in pkgutil.iter_modules(bakeoff.__path__)}
    assert not rooms & {"train", "load", "compare", "Study", "Classifier", "Settings"}
    assert set(dir(bakeoff)) >= {"train", "load", "compare", "Study", "Classifier", "Settings"}


def test_a_user_s_type_checker_sees_the_types(tmp_path: Path) -> None:
    assert (Path(bakeoff.__file__).parent / "py.typed").is_file()
    code = (
        "import bakeoff\n"
        "names: list[str | None] = bakeoff.load('best').predict(['a.jpg'])\n"
        "wide: int = bakeoff.train('photographs').predict_proba([]).shape[1]\n"
        "best: float | None = bakeoff.compare('demo')[0].test_accuracy\n"
        "wrong: int = bakeoff.Study(name='x', tables={}).name\n"
    )
    (tmp_path / "user.py").write_text(code)
    root = Path(bakeoff.__file__).parents[2]  # where the cache of the type check lies
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(tmp_path / "user.py")],
        cwd=root if (root / "pyproject.toml").is_file() else tmp_path,
        env={**os.environ, "MYPYPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    assert len(errors) == 1, done.stdout
    assert "user.py:5: error: Incompatible types in assignment" in errors[0]


def test_scikit_learn_takes_its_answers(workplace: Path) -> None:
    model = bakeoff.load(workplace / "runs/noise")
    paths = sorted((workplace / "photographs").glob("*/1*.png"))
    labels = [path.parent.name for path in paths]
    assert accuracy_score(labels, model.predict(paths)) > 0.9
    shares = model.predict_proba(paths)
    right = shares[np.arange(len(paths)), [model.classes.index(name) for name in labels]]
    loss = log_loss(labels, shares, labels=list(model.classes))
    assert loss == pytest.approx(-np.log(right).mean(), abs=1e-6)
    assert not hasattr(model, "classes_"), "there is no fit whose result that would be"


def test_it_sees_what_training_saw_and_divides_by_the_temperature(workplace: Path) -> None:
    folder = workplace / "runs/noise"
    origin = json.loads((folder / "best/origin.json").read_text())
    run = folder / origin["table"] / origin["variant"] / f"seed-{origin['seed']}"
    with np.load(run / "predictions.npz") as arrays:
        ids, logits = arrays["test_ids"], arrays["test_logits"]
    config = json.loads((folder / "best/config.json").read_text())
    temperature = config["bakeoff"]["trust"]["temperature"]
    model = bakeoff.load(folder)
    shares = model.predict_proba([workplace / "photographs" / name for name in ids])
    assert temperature != 1
    np.testing.assert_allclose(shares, softmax(logits / temperature, axis=1), atol=1e-5)
    uncalibrated = bakeoff.load(run).predict_proba([workplace / "photographs" / ids[0]])
    np.testing.assert_allclose(uncalibrated[0], softmax(logits[0]), atol=1e-5)


def test_paths_images_and_arrays_are_one_and_the_same(workplace: Path) -> None:
    model, path = bakeoff.load(workplace / "runs/noise"), workplace / "photographs/b/3.png"
    with Image.open(path) as image:
        image.load()
    turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # upright again when turned by 270 degrees
    given = [str(path), path, image, np.asarray(image), image.convert("RGBA"), turned]
    shares = model.predict_proba(given)
    assert (shares == shares[0]).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert model.predict(given) == ["b"] * 6
    assert model.predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ("photograph.jpg", "this is one photograph; give a list"),
        (["nowhere.jpg"], "photograph 0 of images cannot be read: not there"),
        ([np.zeros((4, 4, 3))], "an array of float64"),
        ([np.zeros((4, 4, 7), np.uint8)], "allowed is uint8"),
    ],
)
def test_what_is_no_photograph_is_refused(workplace: Path, images: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        bakeoff.load(workplace / "runs/noise").predict_proba(images)  # type: ignore[arg-type]


def test_it_abstains_below_the_threshold_of_the_promise(workplace: Path) -> None:
    model = bakeoff.load(workplace / "runs/noise")
    assert model.trust is not None
    kept = [each for each in model.trust.promises if each.threshold is not None]
    assert kept, "a net that tells red from blue can promise something"
    paths = sorted((workplace / "photographs").glob("*/*.png"))
    shares = model.predict_proba(paths)
    answers = model.predict(paths, accept_error=kept[0].error)
    held = [answer is None for answer in answers]
    assert held == (shares.max(axis=1) < kept[0].threshold).tolist()
    with pytest.raises(RecipeError, match=r"accept_error: 0\.0001 is not allowed; .* or more"):
        model.predict(paths, accept_error=0.0001)
    with pytest.raises(RecipeError, match="promises nothing"):
        bakeoff.load(workplace / "runs/noise/nets/base/seed-0").predict(paths, accept_error=0.1)


def test_a_stream_takes_only_a_few_photographs_ahead(workplace: Path) -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield workplace / "photographs/a/0.png"

    stream = bakeoff.load(workplace / "runs/noise").stream(endless())  # type: ignore[arg-type]
    for _ in range(100):
        next(stream)
    assert taken < 500
    stream.close()
