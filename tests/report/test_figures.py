from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bakeoff import colours, figures, judged, store, tables
from bakeoff.colours import BASE, PALETTE
from bakeoff.curves import curve
from bakeoff.evidence import Interval
from bakeoff.evidence.calibration import Bin
from bakeoff.figures.results import effects_figure, reliability_figure


def test_every_figure_in_three_formats(made: Path, tmp_path: Path) -> None:
    rows = tables.summarise(store.read_runs(made))[:2]
    files = figures.draw(rows, tmp_path / "a")
    stems = {"accuracy-cost", "curves-custom", "effects-custom"}
    stems |= {
        f"{kind}-custom-{name}"
        for kind in ("curves", "confusion")
        for name in ("baseline", "custom2")
    }
    assert {file.name for file in files} == {
        f"{s}.{f}" for s in stems for f in ("pdf", "svg", "png")
    }
    assert all(file.stat().st_size > 1000 for file in files)


def test_same_input_same_bytes(made: Path, tmp_path: Path) -> None:
    rows = tables.summarise(store.read_runs(made))
    one = figures.draw(rows, tmp_path / "a", every=False)
    two = figures.draw(rows, tmp_path / "b", every=False)
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_a_half_finished_study_draws_what_it_has(half: Path, tmp_path: Path) -> None:
    rows = tables.summarise(store.read_runs(half))
    names = {file.stem for file in figures.draw(rows, tmp_path, every=True)}
    assert "curves-custom-custom3" in names
    assert "confusion-custom-custom3" not in names


def test_effects_lie_where_the_verdicts_say(made: Path) -> None:
    rows = [row for row in judged.rows_of(made) if row.difference is not None]
    look = colours.looks((row.table, row.variant, row.is_base) for row in rows)
    axes = effects_figure(rows, look).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [row.variant for row in rows]
    for place, row in enumerate(rows):
        assert row.verdict is not None
        assert row.verdict.low is not None
        assert row.verdict.high is not None
        drawn = [line.get_xdata() for line in axes.lines if set(line.get_ydata()) == {place}]
        ends, mean = (np.ravel(one).tolist() for one in drawn)
        assert ends == pytest.approx([100 * row.verdict.low, 100 * row.verdict.high])
        assert mean == pytest.approx([100 * row.difference])


def test_reliability_draws_each_bar_and_its_interval() -> None:
    bar = Bin(0.2, 0.4, 50, 0.3, 0.25, Interval(0.2, 0.35))
    left, right = reliability_figure([("before", [bar]), ("after", [])], "a/b").axes
    assert left.get_title(loc="left") == "before"
    assert [np.ravel(line.get_ydata()).tolist() for line in left.lines[1:]] == [[20, 35], [25]]
    assert len(right.lines) == 1  # the diagonal


def test_curves_hold_the_runs_means_and_spreads(made: Path) -> None:
    files = [run for run in store.read_runs(made) if run.variant == "custom3"]
    found = curve(files, "validation_loss")
    assert found is not None
    values = [[record.validation_loss for record in run.records] for run in files]
    assert found.means == pytest.approx(np.mean(values, axis=0))
    assert found.spreads == pytest.approx(np.std(values, axis=0, ddof=1))
    assert found.runs == (3,) * 6


def test_looks_are_fixed_and_told_apart() -> None:
    names = [("a", f"v{n}", n == 0) for n in range(20)] + [("b", f"v{n}", n == 0) for n in range(8)]
    found = colours.looks(names)
    assert found["a", "v0"].colour == found["b", "v0"].colour == BASE
    assert len(set(found.values())) == len(found) - 3  # the third round of a table repeats
    assert {look.colour for look in found.values()} == {BASE, *PALETTE}
    assert colours.looks(names[:20])["a", "v5"] == found["a", "v5"]
