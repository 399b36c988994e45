"""The reckoning of scale: limiting cases by hand, and its error on what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.scale import model, points
from benchmarks.scale.__main__ import NODE, epochs, work
from benchmarks.scale.model import Cluster, Work
from benchmarks.scale.points import Point

SIMPLE = Cluster(
    nodes=1, gpus=1, images=100, cores=4, decoded=50, gather=1e9, memory=1e9, disk=4e9,
    disk_rate=1e8, network=1e7, rank_link=1e9, node_link=1e8, latency=0.0, gpu_memory=1e7,
)  # fmt: skip
SMALL = Work(photographs=1000, side=100, file_bytes=1e4, parameter_bytes=4e6, batch=10)


def test_a_ring_sends_nothing_alone_and_nearly_twice_the_gradient_among_many():
    assert model.ring(1, 1e9, 1e9, 1.0) == 0
    assert model.ring(2, 1e9, 1e9, 0.0) == pytest.approx(1.0)
    assert model.ring(4, 1e9, 1e9, 0.0) == pytest.approx(1.5)
    assert model.ring(1000, 1e9, 1e9, 0.0) == pytest.approx(1.998)
    assert model.ring(4, 0, 1e9, 0.25) == pytest.approx(1.5)


def test_nodes_add_a_slower_ring_to_that_within():
    two = replace(SIMPLE, nodes=2, gpus=2)
    assert model.all_reduce(two, 4e6) == pytest.approx(4e6 / 1e9 + 4e6 / 1e8)


def test_an_epoch_of_one_device_is_bound_by_the_slower_of_computing_and_reading():
    fast = replace(SIMPLE, gpu_memory=1e8)  # 30 MB of pixels lie on the device
    alone = model.epoch(fast, SMALL)
    assert (alone.compute, alone.read, alone.all_reduce) == (pytest.approx(10.0), 0.0, 0.0)
    assert alone.source == "GPU memory"
    assert alone.seconds == pytest.approx(10.0)
    assert model.epoch(SIMPLE, SMALL).read == pytest.approx(0.03)  # from memory
    far = model.epoch(replace(SIMPLE, memory=0, disk=0), replace(SMALL, photographs=1e4))
    assert far.source == "the object store"
    assert far.read == pytest.approx(30.0)
    assert (far.seconds, far.limit) == (pytest.approx(100.0), "compute")
    slow = model.epoch(replace(SIMPLE, memory=0, disk=0, network=1e6), SMALL)
    assert (slow.seconds, slow.limit) == (pytest.approx(30.0), "reading from the object store")


def test_computing_is_shared_by_all_and_an_all_reduce_hides_behind_it():
    many = replace(SIMPLE, nodes=5, gpus=2)
    assert model.epoch(many, SMALL).compute == pytest.approx(1.0)
    hidden = model.epoch(replace(many, hidden=0.7), SMALL)
    assert hidden.all_reduce == 0  # 0.068 s of the 0.1 s that a step computes
    bare = model.epoch(replace(many, hidden=0.0), SMALL)
    assert bare.all_reduce == pytest.approx(10 * (0.004 + 1.6 * 0.04))


def test_from_an_object_store_each_node_reads_all_unless_it_has_shards_of_its_own():
    far = replace(SIMPLE, memory=0, disk=0, nodes=4)
    assert model.epoch(far, SMALL).read == pytest.approx(3.0)
    assert model.epoch(replace(far, own_shards=True), SMALL).read == pytest.approx(0.75)
    measured = model.epoch(far, replace(SMALL, evaluated=10))
    assert measured.evaluation == pytest.approx(3.0)  # a second pass over all shards


def test_making_a_store_by_hand():
    parts = model.decoding(replace(SIMPLE, nodes=5), SMALL)
    assert parts == {
        "cores": pytest.approx(1.0),
        "reading files": pytest.approx(0.2),
        "writing shards": pytest.approx(1000 * (30000 + 4096) / 5e7),
    }


def test_points_are_predicted_from_one_process_and_the_link_of_two():
    given = [Point(4, 2.5, 0.4, 1e6, 0), Point(1, 1.0, 0.0, 1e6, 0), Point(2, 1.2, 0.2, 1e6, 0)]
    two, four = points.checked(given, cores=4)
    assert (two.processes, two.predicted) == (2, pytest.approx(1.2))
    assert four.predicted == pytest.approx(1.3)
    assert four.error == pytest.approx(1.3 / 2.5 - 1)
    assert points.checked(given, cores=2)[1].predicted == pytest.approx(2 * 1.3)


def test_points_are_found_wherever_they_stand(tmp_path):
    one = {"processes": 1, "step_seconds": 2.0, "allreduce_seconds": 0, "parameter_bytes": 8}
    content = {"results": {"gloo": [{**one, "more": "x"}, {**one, "processes": 2}, {"a": 1}]}}
    (tmp_path / "ranks-x-2026-01-03.json").write_text(json.dumps(content))
    assert points.kept(tmp_path) == ([], {})
    (tmp_path / "scale-x-2026-01-02.json").write_text(json.dumps(content))
    (tmp_path / "scale-x-2026-01-01.json").write_text("{}")
    found, whole = points.kept(tmp_path)
    assert found == [Point(1, 2.0, 0, 8, 0.0), Point(2, 2.0, 0, 8, 0.0)]
    assert whole == content
    assert points.kept(tmp_path / "nothing") == ([], {})


def test_the_kept_points_are_predicted_within_what_the_document_says():
    folder = Path(points.RESULTS)
    found, content = points.kept(folder)
    assert {point.processes for point in found} >= {1, 2, 4}
    for check in points.checked(found, content["hardware"]["cores"]):
        assert abs(check.error) < 0.4, check


def test_two_processes_meet_and_step():
    point = points.measured(2, steps=2)
    assert (point.processes, point.parameter_bytes) == (2, 4_272_896)
    assert 0 < point.allreduce_seconds < point.step_seconds


def test_where_it_breaks_first():
    million, billion = (
        {row[1]: row[-1] for row in epochs(NODE) if row[0] == count} for count in ("1e+06", "1e+09")
    )
    assert million == {8: "compute", 64: "compute", 512: "compute"}
    assert set(billion.values()) == {"reading from the object store"}
    assert work(1e9).store_bytes == pytest.approx(150.5e12, rel=0.001)
