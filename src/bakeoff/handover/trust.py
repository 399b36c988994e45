"""What validation says of a net's confidence: a temperature, and thresholds that keep promises."""

from __future__ import annotations

from bakeoff.evidence.abstention import abstain
from bakeoff.evidence.calibration import fit_temperature, probabilities
from bakeoff.models.config import Promise, Trust
from bakeoff.store import Predictions

ERRORS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3)
CONFIDENCE = 0.95


def trust(validation: Predictions) -> Trust:
    """Fit the temperature, and choose a threshold for every error in ERRORS that can be promised.

    Validation also chose epoch and run, so that both are a little too hopeful; what they are worth
    is measured on test, and stands in the card.
    """
    labels, temperature = validation.labels, fit_temperature(validation.logits, validation.labels)
    known = probabilities(validation.logits, temperature), labels
    promises = (abstain(known, known, error=error, confidence=CONFIDENCE) for error in ERRORS)
    return Trust(
        temperature=temperature,
        validation_images=labels.size,
        confidence=CONFIDENCE,
        promises=tuple(Promise(error=each.error, threshold=each.threshold) for each in promises),
    )
