"""The figures of `benchmarks.serve` are those of its requests."""

from __future__ import annotations

import pytest

from benchmarks import serve


def test_percentiles_are_of_all_requests_and_rates_of_all_rounds() -> None:
    rounds = [
        {"seconds": 2.0, "latencies": [0.1, 0.2, 0.3], "passes": 1},
        {"seconds": 3.0, "latencies": [0.4, 0.5], "passes": 1},
    ]
    found = serve.summary(rounds)
    assert found["p50_milliseconds"] == pytest.approx(300)
    assert found["p95_milliseconds"] == pytest.approx(480)  # 0.4 + 0.8 * 0.1
    assert found["p99_milliseconds"] == pytest.approx(496)
    assert found["requests_per_second"] == pytest.approx(1)
    assert found["photographs_per_pass"] == pytest.approx(2.5)
