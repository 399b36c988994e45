"""The documents' tables are those of the newest results, or the commands for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import document, gains, gpu, harness, profile

TEXT = (
    "# P\n<!-- table gains -->\nold\n<!-- end -->\nprose\n<!-- table gpu-steps -->\n<!-- end -->\n"
)


def result(name: str, date: str, results: dict[str, Any]) -> dict[str, Any]:
    hardware = {"accelerators": [], "cores": 2, "processor": "Chip 9"}
    facts = {"command": f"python -m benchmarks.{name}", "versions": {"torch": "2.14.1"}}
    return {"benchmark": name, "date": date, "hardware": hardware, "results": results, **facts}


def ladder(rate: float) -> dict[str, Any]:
    return {"net": {"plain": {"rate": rate, "gain": 1.0, "expected": 1.0},
                    "fast": {"rate": 3 * rate, "gain": 3.0, "expected": 2.5}}}  # fmt: skip


def test_a_table_is_of_the_newest_result_and_a_missing_one_is_its_command(tmp_path: Path) -> None:
    for name, date, rate in (("old", "2026-01-01", 1.0), ("new", "2026-02-01", 8.0)):
        content = result("gains", date, ladder(rate))
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "other.json").write_text("[]")
    assert document.written(TEXT, document.newest(tmp_path)) == (
        "# P\n<!-- table gains -->\n"
        "| images/s | plain | fast |\n|---|---:|---:|\n"
        "| net | 8 | 24 (×3.00, expected ×2.5) |\n\n"
        "2 cores, Chip 9, torch 2.14.1, 2026-02-01: `python -m benchmarks.gains`\n"
        "<!-- end -->\nprose\n<!-- table gpu-steps -->\n"
        "Not measured yet: `python -m benchmarks.gpu`.\n<!-- end -->\n"
    )


def test_a_table_can_be_of_one_maker_of_processors(tmp_path: Path) -> None:
    for processor, date, rate in (("Chip(R) 9", "2026-01-01", 1.0), ("Slab", "2026-02-01", 8.0)):
        content = result("gains", date, ladder(rate))
        content["hardware"]["processor"] = processor
        (tmp_path / f"{date}.json").write_text(json.dumps(content))
    results = document.newest(tmp_path)
    asked = "<!-- table gains on {} -->\n<!-- end -->"
    assert "| net | 1 | 3 (" in document.written(asked.format("chip"), results)
    assert "| net | 8 | 24 (" in document.written(asked.format("slab"), results)
    assert "| net | 8 | 24 (" in document.written(TEXT, results)
    assert "Not measured yet: `python -m benchmarks.gains`" in document.written(
        asked.format("other"), results
    )


def test_shares_of_the_roofline_stand_beside_the_rates() -> None:
    found = {"net x 32": {"images_per_second": {"bare": 2865.5, "compiled": None},
                          "share_of_roofline": {"bare": 0.5, "compiled": None}}}  # fmt: skip
    said = document.written(TEXT, {"gpu-steps": result("gpu", "2026-01-01", found)})
    assert "| net x 32 | 2,866 (0.50) | – |" in said


def test_the_documents_show_the_results_that_are_there() -> None:
    """Where this fails, run `python -m benchmarks.document`."""
    names: list[str] = []
    for path in document.DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        assert document.written(text, document.newest(harness.RESULTS)) == text
        names += [name.split(" on ")[0] for _, name, _ in document.BLOCK.findall(text)]
    assert set(names) == set(document.TABLES)


def test_a_row_of_beyond_has_its_interval_and_its_verdict() -> None:
    figures = {"n": 6.0, "test_accuracy": 0.5, "test_accuracy_spread": None,
               "train_accuracy": 0.75, "seconds": 90.0}  # fmt: skip
    said = {"difference": 0.042, "low": 0.031, "high": 0.053, "verdict": "helped"}
    found = {"stock": figures, "best": {**figures, "test_accuracy_spread": 0.002, **said}}
    text = document.written(
        "<!-- table beyond-heads -->\n<!-- end -->",
        {"beyond-heads": result("beyond", "2026-01-01", found)},
    )
    assert "| stock | 6 | 50.0 | – | base | 75.0 | 1.5 |" in text
    assert "| best | 6 | 50.0 ± 0.2 | +4.2 (+3.1 to +5.3) | helped | 75.0 | 1.5 |" in text


def test_every_net_of_the_report_has_an_expectation_for_every_rung() -> None:
    assert set(gains.EXPECTED) == set(gpu.NETS) == set(gpu.FUSED_ROOFLINE)
    assert {len(expected) for expected in gains.EXPECTED.values()} == {len(gains.RUNGS)}


def test_a_profile_gives_every_stage_its_share() -> None:
    import torch

    found = profile.profiled("resnet18", 2, 4, 32, torch.device("cpu"))
    share = found["share"]
    assert set(share) == {*profile.STAGES, "rest"}
    assert sum(share.values()) == pytest.approx(1)
    assert all(share[stage] > 0 for stage in profile.STAGES)
    assert share["backward"] > share["data"]
