"""The report behind `food101-20`, replayed: every printed figure beside ours. No torch.

`printed` holds what the report says, `replay` what our runs say to it, `document` writes
docs/replication.md. Nothing is trained here.
"""

from bakeoff.replication.document import write_replication
from bakeoff.replication.printed import DOUBTED, REPLAYED, report
from bakeoff.replication.replay import (
    Pair,
    Replay,
    Settled,
    conditions,
    pairs,
    read_replay,
    replay,
    settle,
)

__all__ = [
    "DOUBTED",
    "REPLAYED",
    "Pair",
    "Replay",
    "Settled",
    "conditions",
    "pairs",
    "read_replay",
    "replay",
    "report",
    "settle",
    "write_replication",
]
