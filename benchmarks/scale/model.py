"""The reckoning: seconds of decoding, reading, computing and all-reducing, as plain formulas.

A step takes the longer of computing and input, and what of the all-reduce is not hidden behind the
backward pass. Nothing here is measured; `points` holds these formulas against what was.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

BACKWARD = 2 / 3  # of a training step's computation; a forward pass is the other third
LOOK_BYTES = 64 * 64


@dataclass(frozen=True)
class Cluster:
    """Nodes of equal make; rates are a second, sizes in bytes.

    `rank_link` and `node_link` are what one GPU and one node send in one direction; `gather` is
    what one process copies out of memory; with `own_shards` a node reads a part of the store only.
    """

    nodes: int
    gpus: int  # a node
    images: float  # trained by one GPU alone
    cores: int  # a node
    decoded: float  # photographs by one core
    gather: float
    memory: float
    disk: float
    disk_rate: float
    network: float  # from the object store, a node
    rank_link: float
    node_link: float
    latency: float  # of one hop of an all-reduce
    gpu_memory: float
    hidden: float = BACKWARD  # share of a step's computation that an all-reduce may hide behind
    own_shards: bool = False

    @property
    def ranks(self) -> int:
        """How many GPUs there are."""
        return self.nodes * self.gpus


@dataclass(frozen=True)
class Work:
    """What is to be trained on; `evaluated` are photographs an epoch in eval mode."""

    photographs: float
    side: int
    file_bytes: float
    parameter_bytes: float
    batch: int  # a GPU
    evaluated: float = 0.0

    @property
    def row_bytes(self) -> int:
        """Bytes of one stored photograph."""
        return self.side * self.side * 3

    @property
    def store_bytes(self) -> float:
        """Bytes of all."""
        return self.photographs * self.row_bytes


@dataclass(frozen=True)
class Epoch:
    """Seconds of an epoch, by what they are spent on; `source` is where the pixels come from."""

    compute: float
    read: float
    all_reduce: float  # what is not hidden
    evaluation: float
    source: str

    @property
    def seconds(self) -> float:
        """Of the whole epoch."""
        return max(self.compute, self.read) + self.all_reduce + self.evaluation

    @property
    def limit(self) -> str:
        """What takes the largest part."""
        parts = {"compute": self.compute, "read": self.read, "all-reduce": self.all_reduce}
        largest = max(parts, key=lambda name: parts[name])
        return f"reading from {self.source}" if largest == "read" else largest


def ring(ranks: int, size: float, rate: float, latency: float) -> float:
    """Return seconds of a ring all-reduce: 2 (n - 1) steps of size / n (Patarasuk, Yuan 2009)."""
    return 2 * (ranks - 1) * (size / ranks / rate + latency)


def all_reduce(cluster: Cluster, size: float) -> float:
    """Return seconds of a ring within each node, then one among nodes with its share a GPU."""
    within = ring(cluster.gpus, size, cluster.rank_link, cluster.latency)
    return within + ring(cluster.nodes, size, cluster.node_link, cluster.latency)


def source(cluster: Cluster, work: Work) -> tuple[str, float]:
    """Say from where a node's GPUs read in the second epoch, and how many bytes a second."""
    here = work.store_bytes / (cluster.nodes if cluster.own_shards else 1)
    if work.store_bytes < cluster.gpu_memory / 2:
        return "GPU memory", float("inf")
    copied = cluster.gather * cluster.gpus
    if here < cluster.memory * 0.8:
        return "memory", copied
    if here < cluster.disk * 0.9:
        return "disk", min(cluster.disk_rate, copied)
    return "the object store", min(cluster.network, copied)


def epoch(cluster: Cluster, work: Work) -> Epoch:
    """Return what an epoch takes once the store is made and was read once.

    From an object store a node fetches whole shards: all of them, though its GPUs use only their
    part of each batch, unless it has `own_shards`.
    """
    steps = ceil(work.photographs / (cluster.ranks * work.batch))
    compute = work.batch / cluster.images
    name, rate = source(cluster, work)
    share = 1.0 if name == "the object store" and not cluster.own_shards else 1 / cluster.nodes
    read = work.store_bytes * share / rate
    reduced = max(0.0, all_reduce(cluster, work.parameter_bytes) - cluster.hidden * compute)
    evaluation = work.evaluated * (1 - BACKWARD) / (cluster.images * cluster.ranks)
    if name == "the object store":  # the evaluated lie in every shard
        evaluation = max(evaluation, read * (work.evaluated > 0))
    return Epoch(steps * compute, read, steps * reduced, evaluation, name)


def step(cores: int, processes: int, compute: float, reduced: float) -> float:
    """Return seconds of a step of `processes` that share the cores of one machine, all computing.

    `compute` and `reduced` are those of a process that has a core to itself.
    """
    crowd = max(1.0, processes / cores)
    return crowd * (compute + reduced)


def decoding(cluster: Cluster, work: Work) -> dict[str, float]:
    """Return seconds of making the store: by cores, by reading files, by writing shards."""
    return {
        "cores": work.photographs / (cluster.decoded * cluster.cores * cluster.nodes),
        "reading files": work.photographs * work.file_bytes / (cluster.network * cluster.nodes),
        "writing shards": work.photographs
        * (work.row_bytes + LOOK_BYTES)
        / (cluster.network * cluster.nodes),
    }
