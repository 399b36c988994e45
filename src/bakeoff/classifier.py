"""A trained net ready to be asked: photographs in, calibrated probabilities and names out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bakeoff import machine
from bakeoff.data.decode import DecodeError
from bakeoff.data.opened import Photograph, as_stored, stream
from bakeoff.data.photographs import DataError
from bakeoff.data.squares import Pixels
from bakeoff.evidence.calibration import probabilities
from bakeoff.evidence.paired import Floats
from bakeoff.fields import RecipeError
from bakeoff.inputs import seen
from bakeoff.models import config as configs
from bakeoff.models import folder as model_folder
from bakeoff.models.config import Trust
from bakeoff.models.parts import Net
from bakeoff.models.views import averaged
from bakeoff.recipe import Recipe

BATCH = 32


@dataclass(frozen=True, eq=False)
class Classifier:
    """A net in eval mode with its class names; `trust` is None where it was never calibrated.

    Photographs are files, open images, or uint8 arrays (H, W, 3), RGB. Nothing learns here: it
    answers like a classifier of scikit-learn, but has no `fit`, and so no `classes_`.
    """

    folder: Path
    net: Net
    recipe: Recipe
    classes: tuple[str, ...]
    trust: Trust | None
    device: torch.device

    def predict(
        self, images: Iterable[Photograph], *, accept_error: float | None = None
    ) -> list[str | None]:
        """Return the likeliest class of each photograph.

        With `accept_error`, None stands where the net should not be trusted: with the confidence
        of its promise, at most that share of the other answers is wrong. Raises DataError for a
        photograph that cannot be read, RecipeError for an error that was never promised.

        >>> load("runs/mine/best").predict(["photographs/a/1.png", "photographs/b/1.png"])
        ['a', 'b']
        """
        threshold = self.threshold(accept_error)
        shares = self.predict_proba(images)
        answers = zip(shares.argmax(axis=1), shares.max(axis=1), strict=True)
        return [self.classes[place] if share >= threshold else None for place, share in answers]

    def predict_proba(self, images: Iterable[Photograph]) -> Floats:
        """Return calibrated probabilities (N, C), columns in the order of `classes`.

        Raises DataError for a photograph that cannot be read.

        >>> model = load("runs/mine/best")
        >>> (share_of_a, share_of_b), = model.predict_proba(["photographs/a/1.png"])
        >>> bool(share_of_a > share_of_b)
        True
        """
        if isinstance(images, str | Path | Image.Image):
            raise DataError("images: this is one photograph; give a list, such as [photograph]")
        found = []
        for number, shares in enumerate(self.stream(images)):
            if isinstance(shares, DecodeError):
                raise DataError(f"photograph {number} of images cannot be read: {shares}")
            found.append(shares)
        return np.stack(found) if found else np.empty((0, len(self.classes)))

    def stream(self, images: Iterable[Photograph]) -> Iterator[Floats | DecodeError]:
        """Yield the probabilities (C,) of each photograph, or why it cannot be read, in order.

        However many there are, only a few lie in memory.
        """
        decoded = stream(images, lambda image: as_stored(image, self.recipe.side))
        while batch := list(islice(decoded, BATCH)):
            good = [each for each in batch if not isinstance(each, DecodeError)]
            shares = iter(self.probabilities(np.stack(good)) if good else ())
            yield from (each if isinstance(each, DecodeError) else next(shares) for each in batch)

    @property
    def answering(self) -> torch.nn.Module:
        """The net as it answers: over the recipe's views, (B, 3, S, S) -> (B, C)."""
        return averaged(self.net.module, self.recipe.views)

    def threshold(self, accept_error: float | None) -> float:
        """Return the least probability of an answer; 0 where none is to be held back."""
        if accept_error is None:
            return 0.0
        if self.trust is None:
            raise RecipeError(
                f"accept_error: {self.folder} promises nothing; only a study's best is calibrated"
            )
        return self.trust.threshold(accept_error)

    def probabilities(self, pixels: Pixels) -> Floats:
        """Return calibrated probabilities (B, C) of stored pixels (B, S, S, 3)."""
        return probabilities(self.logits(pixels), self.trust.temperature if self.trust else 1.0)

    @torch.inference_mode()
    def logits(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return the logits (B, C) of stored pixels (B, S, S, 3), computed in fp32."""
        images = seen(pixels, self.net, self.recipe.size, self.device)
        logits: torch.Tensor = self.answering(images)
        return logits.float().cpu().numpy()


def load(model: str | Path, *, device: str = "auto") -> Classifier:
    """Open a model folder, or that of a run folder or of a study's best, on `device`.

    Nothing of it is executed. Raises RecipeError where it is no model, or contradicts itself.
    """
    folder = configs.locate(Path(model))
    where = machine.device(device)
    net, recipe, classes = model_folder.read(folder)
    net.module.to(where).to(memory_format=torch.channels_last)
    return Classifier(folder, net, recipe, classes, configs.read(folder).bakeoff.trust, where)
