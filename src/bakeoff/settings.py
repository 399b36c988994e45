"""What a user says about a run that changes none of its results: where, and what is allowed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """`offline` fetches nothing; `skip_bad` leaves photographs out that cannot be decoded.

    `deterministic` lets a GPU use nothing but operations that give the same bits each time.
    """

    device: str = "auto"
    offline: bool = False
    skip_bad: bool = False
    deterministic: bool = False
