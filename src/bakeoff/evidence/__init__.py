"""What the runs of a study can and cannot say: differences, intervals, verdicts, confidence, cost.

Arrays in, frozen dataclasses out; `reading` alone knows what a run folder holds. Nothing here
trains, prints or draws, and nothing imports torch. Accuracies and differences are 0..1.
"""

from bakeoff.evidence.abstention import Promise, abstain
from bakeoff.evidence.calibration import Calibration, calibrate, reliability
from bakeoff.evidence.claims import Claim, read_claims
from bakeoff.evidence.cost import Cost, costs, pareto
from bakeoff.evidence.curve import LearningCurve, learning_curve
from bakeoff.evidence.images import Crossed, McNemar, crossed, mcnemar, photograph_interval
from bakeoff.evidence.judging import Judgement, judge
from bakeoff.evidence.labels import Suspect, likely_errors
from bakeoff.evidence.paired import Interval, Paired, holm, k_fold, paired, sign_flip
from bakeoff.evidence.pictured import Pictured
from bakeoff.evidence.power import NoiseFloor, noise_floor, seeds_needed, smallest_visible
from bakeoff.evidence.sequential import Decision, next_step, next_steps
from bakeoff.evidence.verdict import Verdict, compare

__all__ = [
    "Calibration",
    "Claim",
    "Cost",
    "Crossed",
    "Decision",
    "Interval",
    "Judgement",
    "LearningCurve",
    "McNemar",
    "NoiseFloor",
    "Paired",
    "Pictured",
    "Promise",
    "Suspect",
    "Verdict",
    "abstain",
    "calibrate",
    "compare",
    "costs",
    "crossed",
    "holm",
    "judge",
    "k_fold",
    "learning_curve",
    "likely_errors",
    "mcnemar",
    "next_step",
    "next_steps",
    "noise_floor",
    "paired",
    "pareto",
    "photograph_interval",
    "read_claims",
    "reliability",
    "seeds_needed",
    "sign_flip",
    "smallest_visible",
]
