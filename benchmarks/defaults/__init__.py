"""What each project does by default when a pretrained ResNet-18 is fine-tuned on a folder.

A module's `train(task, folder, clock)` leaves a model in `folder` and returns what it was trained
with; `answers(task, folder, photographs)` gives each photograph a class name, seen as the project
documents prediction. Nothing is changed of a default, other than what the module's docstring says.
"""

from dataclasses import dataclass

DEFAULTS = {
    "timm": "timm_script",
    "fastai": "fastai_learner",
    "transformers": "transformers_example",
}


@dataclass(frozen=True)
class Task:
    """One fine-tuning.

    photographs : folder of class folders, none of the test's photographs among them
    weights     : .safetensors file with ImageNet's ResNet-18, torchvision's names
    epochs      : fixed beforehand, so that it fits the time
    """

    photographs: str
    weights: str
    epochs: int
    seed: int = 0
