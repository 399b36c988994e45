"""Metrics from logits: numbers in, numbers out. No torch, no files.

Accuracies and shares are 0..1, losses in nats. Undefined shares (a class never predicted, or with
no photograph) are 0, and macro means run over the classes that occur, both as in scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32] | Floats


@dataclass(frozen=True)
class PerClass:
    """Precision, recall, F1 and photographs of every class, each (C,), and their macro means."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Integers
    macro_precision: float
    macro_recall: float
    macro_f1: float


@dataclass(frozen=True)
class Metrics:
    """All that one set of logits says; `top5` is None at five classes or fewer."""

    n: int
    accuracy: float
    loss: float
    top5: float | None
    confusion: Integers
    classes: PerClass


def measure(logits: Logits, labels: Integers) -> Metrics:
    """Measure `logits` (N, C) against `labels` (N,); raises ValueError where they do not fit."""
    num_classes = logits.shape[-1]
    counts = confusion(np.argmax(checked(logits, labels), axis=1), labels, num_classes)
    return Metrics(
        n=len(labels),
        accuracy=accuracy(logits, labels),
        loss=cross_entropy(logits, labels),
        top5=top_k(logits, labels, 5) if num_classes > 5 else None,
        confusion=counts,
        classes=per_class(counts),
    )


def accuracy(logits: Logits, labels: Integers) -> float:
    """Return the share of photographs whose largest logit is their label's; the first on ties."""
    return float(np.mean(np.argmax(checked(logits, labels), axis=1) == labels))


def cross_entropy(logits: Logits, labels: Integers) -> float:
    """Return the mean negative log-probability of the labels, in nats; stable for any size."""
    wide = checked(logits, labels).astype(np.float64)
    largest = wide.max(axis=1)
    log_sum = largest + np.log(np.exp(wide - largest[:, None]).sum(axis=1))
    return float(np.mean(log_sum - wide[np.arange(len(labels)), labels]))


def softmax(logits: Logits) -> Floats:
    """Return the probabilities (N, C) of `logits` (N, C)."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def top_k(logits: Logits, labels: Integers, k: int) -> float:
    """Return the share of labels among the `k` largest logits; on ties the lower class is first."""
    if k < 1:
        raise ValueError(f"k: {k} is not allowed; at least 1")
    own = checked(logits, labels)[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(logits.shape[1])[None, :] < labels[:, None]
    rank = ((logits > own) | ((logits == own) & earlier)).sum(axis=1)
    return float(np.mean(rank < k))


def confusion(predicted: Integers, labels: Integers, num_classes: int) -> Integers:
    """Count photographs by true class (row) and predicted class (column): (C, C)."""
    cells = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def per_class(counts: Integers) -> PerClass:
    """Return precision, recall and F1 from a confusion matrix (C, C), true classes in rows."""
    right, true, said = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall = _share(right, said), _share(right, true)
    f1 = _share(2 * right, true + said)
    occurs = (true + said) > 0
    macro = [float(values[occurs].mean()) for values in (precision, recall, f1)]
    return PerClass(precision, recall, f1, true.astype(np.int64), *macro)


def checked(logits: Logits, labels: Integers) -> Logits:
    """Return `logits`; raises ValueError where they are not (N, C) with N labels in 0..C-1."""
    if logits.ndim != 2 or labels.ndim != 1 or len(logits) != len(labels):
        raise ValueError(f"logits {logits.shape} do not fit labels {labels.shape}: (N, C) and (N,)")
    if len(labels) == 0:
        raise ValueError("logits: there are none; at least one photograph is needed")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels: {labels.min()}..{labels.max()} with {logits.shape[1]} classes")
    return logits


def _share(part: Integers, whole: Integers) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
