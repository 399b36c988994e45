"""A connection to Ray, and whether the cluster can do what is asked of it.

Ray waits for minutes for an address where nothing answers, and forever for a node that is large
enough; both are found out here first.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bakeoff.fields import RecipeError
from bakeoff.settings import Cluster

TOKEN = Path.home() / ".ray/auth_token"
SECONDS_TO_ANSWER = 5.0
OBJECT_STORE = 256 * 2**20  # bytes, of a cluster of this machine; only finished runs pass through
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # tell nobody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a run without GPUs is told so; Ray need not
}

if "ray" not in sys.modules:  # which reads these when it is imported
    for _name, _value in QUIET.items():
        os.environ.setdefault(_name, _value)
    if TOKEN.is_file():  # it is the key to what `ray start` began; `ray.init` has to be told
        os.environ.setdefault("RAY_AUTH_MODE", "token")

try:
    import ray
except ImportError:
    raise RecipeError(
        "--on ray: Ray is not installed; allowed after pip install 'bakeoff[ray]'"
    ) from None


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Connect to `cluster`, or begin one on this machine; within a connection do nothing.

    Raises RecipeError where the address is none, or nothing answers there.
    """
    if ray.is_initialized():
        yield
        return
    address = cluster.address or os.environ.get("RAY_ADDRESS", "")
    if address:
        _demand_answer(address)
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address or "local", **quiet, **({} if address else own))
    except Exception as error:  # Ray has many for this, some of them bare
        said = str(error).strip().split("\n", maxsplit=1)[0]
        token = f"; where the cluster has a token, it has to stand in {TOKEN}" if address else ""
        raise RecipeError(f"--address: {address or 'this machine'}: {said}{token}") from None
    _restore(before)  # Ray ends the process at once; a study leaves in order
    ray._private.worker._worker_logs_enabled = False  # or whatever dies says so amid the results
    try:
        yield
    finally:
        ray.shutdown()
        _restore(before)


def resources(cluster: Cluster) -> tuple[int, float]:
    """Return the CPUs and GPUs of a run; RecipeError where no node has so many."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    gpus = min(1.0, most) if cluster.gpus is None else cluster.gpus
    if cluster.cpus < 1:
        raise RecipeError(f"--cpus: {cluster.cpus} is not allowed; at least 1 a run")
    if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise RecipeError(f"--gpus: {gpus:g} is not allowed; a fraction of one, or a whole number")
    if not any(_fits(node, cluster.cpus, gpus) for node in nodes):
        there = "; ".join(sorted({_said(node) for node in nodes}))
        raise RecipeError(
            f"--cpus {cluster.cpus} --gpus {gpus:g}: no node has as much; there are: {there}"
        )
    return cluster.cpus, gpus


def nodes(cpus: int, gpus: float) -> dict[str, str]:
    """Return the nodes that can take such a run: Ray's number of each -> its name."""
    return {
        node["NodeID"]: node["NodeName"]
        for node in ray.nodes()
        if node["Alive"] and _fits(node["Resources"], cpus, gpus)
    }


def _fits(node: Mapping[str, float], cpus: int, gpus: float) -> bool:
    return node.get("CPU", 0.0) >= cpus and node.get("GPU", 0.0) >= gpus


def _said(node: Mapping[str, float]) -> str:
    return f"{node.get('CPU', 0):g} CPUs with {node.get('GPU', 0):g} GPUs"


def _demand_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise RecipeError(
            f"--address: {address} is not allowed; host:port, as `ray start --head` says it"
        )
    try:
        with socket.create_connection((host, int(port)), SECONDS_TO_ANSWER):
            pass
    except (OSError, OverflowError) as error:
        raise RecipeError(
            f"--address: no Ray cluster answers at {address} ({error}); "
            "begin one with `ray start --head`"
        ) from None


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    with suppress(ValueError):  # not in the main thread, where nobody changed them
        for number, handler in handlers.items():
            signal.signal(number, handler)
