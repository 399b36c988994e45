"""What a user says about a run that changes none of its results: where, and what is allowed."""

from dataclasses import dataclass

STEPS = ("auto", "eager", "compiled", "captured", "captured_eager")


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster by its `address` (host:port; by default one of this machine alone).

    Each run gets `cpus`, which is also the number of its threads, and `gpus` (a fraction of one, or
    a whole number; None: one where the cluster has any).
    """

    address: str = ""
    cpus: int = 1
    gpus: float | None = None


@dataclass(frozen=True)
class Settings:
    """`offline` fetches nothing; `skip_bad` leaves photographs out that cannot be decoded.

    `deterministic` lets a GPU use nothing but operations that give the same bits each time.
    `step` is the way of stepping, one of STEPS (see `capture`).
    `log` names trackers, `tensorboard`, `mlflow` or `wandb`, each with `=place` where wanted.
    `cluster` is where runs are carried out; None is here, one after another.
    """

    device: str = "auto"
    offline: bool = False
    skip_bad: bool = False
    deterministic: bool = False
    step: str = "auto"
    log: tuple[str, ...] = ()
    cluster: Cluster | None = None
