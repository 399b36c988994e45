"""Records, outcomes and figures for those who watch elsewhere: TensorBoard, MLflow, W&B.

What is logged is read from run folders, so a study can be logged while it runs or afterwards, and
nothing twice. `places` reads `--log`, `trackers` speaks to each through Lightning's loggers,
`follow` decides what is new.
"""

from bakeoff.elsewhere.follow import Elsewhere, log_study, opened
from bakeoff.elsewhere.places import Destination, destinations

__all__ = ["Destination", "Elsewhere", "destinations", "log_study", "opened"]
