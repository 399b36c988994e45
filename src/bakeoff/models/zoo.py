"""Every net by name, the small ones, torchvision's and timm's: built and laid out as parts."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision import models as torchvision_models

from bakeoff.fields import RecipeError, nearest
from bakeoff.models import depth, earlier, stages
from bakeoff.models import weights as weight_files
from bakeoff.models.parts import IMAGENET_MEAN, IMAGENET_STD, Net, Part, part
from bakeoff.models.small import small_net
from bakeoff.recipe import SMALL_NETS, Recipe


def build(recipe: Recipe, num_classes: int, *, offline: bool = False) -> Net:
    """Return the recipe's net with its start weights and a fresh head of `num_classes`.

    New tensors are drawn from torch's global generator. Raises RecipeError for a name nobody
    knows, weights that are missing or of another net, and an image size that the net cannot take.
    """
    if recipe.model in SMALL_NETS:
        net = _small(recipe, num_classes)
    elif recipe.model in torchvision_models.list_models(module=torchvision_models):
        net = _torchvision(recipe, num_classes, offline)
    else:
        net = _timm(recipe, num_classes, offline)
    if recipe.weights not in ("none", "imagenet"):
        net = earlier.begun(net, recipe)
    return stages.reading(net, recipe.size, num_classes) if recipe.head_reads == "stages" else net


def check_size(recipe: Recipe, num_classes: int) -> None:
    """Refuse an image size that the net cannot take, also one of training, before anything runs."""
    sides = {"size": recipe.size, "train_size": recipe.train_size, "grow_from": recipe.grow_from}
    padding = " or net.padding=1" if recipe.model in SMALL_NETS and not recipe.net.padding else ""
    for field, side in sides.items():
        if side is not None and not _takes(recipe, num_classes, side):
            other = "a larger size" if field == "size" else "unset, or a larger size"
            raise RecipeError(
                f"{field}: {side} does not fit {recipe.model}; allowed: {other}{padding}"
            )


def _takes(recipe: Recipe, num_classes: int, side: int) -> bool:
    """Tell whether the net takes (2, 3, side, side); yes where that costs memory to find out."""
    with torch.device("meta"):
        try:
            net = build(recipe.model_copy(update={"weights": "none"}), num_classes)
            net.module.eval()(torch.zeros(2, 3, side, side))
        except NotImplementedError:
            return True
        except (RuntimeError, AssertionError):
            return False
    return True


def _small(recipe: Recipe, num_classes: int) -> Net:
    depth.demand_none(recipe)
    module = small_net(recipe.net, num_classes)
    links = tuple(part(name, child) for name, child in module.named_children())
    return Net(recipe.model, module, links, first_conv="conv1.0", head="fc2")


def _torchvision(recipe: Recipe, num_classes: int, offline: bool) -> Net:
    entry = torchvision_models.get_model_weights(recipe.model)
    chosen = getattr(entry, "DEFAULT", None) if recipe.weights == "imagenet" else None
    if chosen is not None:
        weight_files.check_reachable(recipe.model, chosen.url, offline)
    module = torchvision_models.get_model(recipe.model, weights=chosen)
    depth.set_in_torchvision(module, recipe)
    head = _last_linear(module)
    old = module.get_submodule(head)
    assert isinstance(old, nn.Linear)
    module.set_submodule(head, nn.Linear(old.in_features, num_classes))
    return Net(recipe.model, module, _chain(module), _first_conv(module), head)


def _timm(recipe: Recipe, num_classes: int, offline: bool) -> Net:
    name = recipe.model.removeprefix("timm/")
    if name.split(".")[0] not in timm.list_models() and not name.startswith(
        ("hf-hub:", "local-dir:")
    ):
        known = [*SMALL_NETS, *torchvision_models.list_models(module=torchvision_models)]
        known += timm.list_models()
        raise RecipeError(
            f"model: nobody knows {name}{nearest(name, known)}; "
            "allowed: baseline, custom, a torchvision or a timm name"
        )
    pretrained = recipe.weights == "imagenet"
    with weight_files.hub(name, offline=offline and pretrained):
        how = {"pretrained": pretrained, "num_classes": num_classes}
        module: Any = depth.timm_model(name, recipe, **how)
    facts: dict[str, Any] = module.pretrained_cfg
    head = facts["classifier"]
    if not isinstance(head, str) or not isinstance(module.get_submodule(head), nn.Linear):
        raise RecipeError(f"model: {name} has no single linear head, which bakeoff needs")
    mean, std = facts.get("mean", IMAGENET_MEAN), facts.get("std", IMAGENET_STD)
    first = facts.get("first_conv")
    first_conv = first if isinstance(first, str) else _first_conv(module)
    return Net(recipe.model, module, _timm_chain(module, head), first_conv, head, mean, std)


class _PreLogits(nn.Module):
    """Everything of a timm model before its last linear layer: (N, 3, H, W) -> (N, F)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the features that the head reads."""
        features = self.model.forward_features(images)
        pooled: Tensor = self.model.forward_head(features, pre_logits=True)
        return pooled


def _timm_chain(module: nn.Module, head: str) -> tuple[Part, ...]:
    body = frozenset(name for name in module.state_dict() if not name.startswith(f"{head}."))
    return Part("features", _PreLogits(module), body), part(head, module.get_submodule(head))


def _chain(module: nn.Module) -> tuple[Part, ...]:
    """Lay a torchvision net out as a chain; a net of unknown layout is one single part."""
    children = dict(module.named_children())
    flatten = Part("flatten", nn.Flatten(), frozenset())
    if isinstance(module, torchvision_models.ResNet):
        *body, head = (part(name, child) for name, child in children.items())
        return *body, flatten, head
    if list(children) == ["features", "avgpool", "classifier"]:
        features, average, classifier = children.values()
        assert isinstance(features, nn.Sequential)
        assert isinstance(classifier, nn.Sequential)
        flat = () if isinstance(module, torchvision_models.ConvNeXt) else (flatten,)
        return (
            *_links("features", features),
            part("avgpool", average),
            *flat,
            *_links("classifier", classifier),
        )
    return (part("net", module, prefix=""),)


def _links(name: str, sequence: nn.Sequential) -> tuple[Part, ...]:
    return tuple(part(f"{name}.{child}", module) for child, module in sequence.named_children())


def _last_linear(module: nn.Module) -> str:
    modules: list[tuple[str, nn.Module]] = list(module.named_modules())
    names = [name for name, child in modules if isinstance(child, nn.Linear)]
    if not names:
        raise RecipeError(f"model: {type(module).__name__} has no linear head, which bakeoff needs")
    return names[-1]


def _first_conv(module: nn.Module) -> str:
    modules: list[tuple[str, nn.Module]] = list(module.named_modules())
    for name, child in modules:
        if isinstance(child, nn.Conv2d):
            return name
    return next(name for name, child in modules if list(child.parameters(recurse=False)))
