"""The model of docs/scaling.md, and where docs/gpu.md's tables go."""

import pytest

from benchmarks.cost_model import Cluster, all_reduce, step
from benchmarks.gpu import COMMANDS, DOCUMENT, with_table

JOB = {"parameters": 5e6, "operations": 3e9, "bytes": 1e5, "examples": 10, "batch": 100}


def test_a_ring_moves_each_gradient_twice_less_one_part():
    cluster = Cluster(nvlink_gb=100.0, network_gb=10.0, latency_us=10.0)
    assert all_reduce(5e6, 1, cluster) == 0
    # 2 · 7/8 of 20 MB at 100 GB/s, and 14 hops; 2 · 63/64 at 10 GB/s, and 126 hops.
    assert all_reduce(5e6, 8, cluster) == pytest.approx(350e-6 + 140e-6)
    assert all_reduce(5e6, 64, cluster) == pytest.approx(3.9375e-3 + 1.26e-3)


def test_a_step_waits_for_the_slower_of_computing_and_reading():
    computes = Cluster(peak_tflops=100, utilisation=0.3, host_gb=1.0, storage_gb=20.0)
    alone = step(JOB, 1, computes, 100.0)
    assert alone["compute"] == pytest.approx(100 * 3e9 / 30e12)
    assert alone["input"] == pytest.approx(100 * 1e5 / 1e9)
    assert alone["step"] == max(alone["compute"], alone["input"])
    # 64 hosts could read 64 GB/s, the storage gives 20: reading is what saturates.
    many = step(JOB, 64, computes, 100.0)
    assert many["input"] == pytest.approx(6400 * 1e5 / 20e9)
    assert many["rate"] < 64 * alone["rate"]


def test_every_benchmark_has_its_place_in_the_document():
    text = DOCUMENT.read_text("utf-8")
    for name in COMMANDS:
        assert f"<!-- {name} -->\nnew\n<!-- end -->" in with_table(text, name, "new")
    with pytest.raises(SystemExit, match="no place `<!-- other -->`"):
        with_table(text, "other", "new")
