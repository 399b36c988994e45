"""Start weights, from a file, torchvision or timm's hub; a pickle with code is never run."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from bakeoff.fields import RecipeError
from bakeoff.models import config as configs
from bakeoff.models.parts import Net
from bakeoff.recipe import Recipe
from bakeoff.recipe import digest as named

NAME = "model.safetensors"  # in a model folder
MOST_HEADER_BYTES = 2**24
REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
KINDS = ("F64", "F32", "F16", "BF16", "I64")
Shapes = Mapping[str, tuple[int, ...]]


def header(path: Path) -> Shapes:
    """Return the shapes in a .safetensors file without reading its tensors.

    Raises RecipeError for a file that is none, a header over 16 MB, and tensors of another kind
    than a net's.
    """
    if not path.is_file():
        raise RecipeError(f"weights: {path} is not a file")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MOST_HEADER_BYTES:
        raise RecipeError(
            f"weights: {path.name} has a header of {length} bytes; allowed: {MOST_HEADER_BYTES}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            kinds = {name: str(each.get_dtype()) for name, each in slices.items()}
            shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
    except Exception as error:  # readers of foreign bytes raise whatever they stumble over
        said = str(error).split("\n", maxsplit=1)[0][:120]
        raise RecipeError(f"weights: {path.name} cannot be read as weights: {said}") from None
    for name, kind in kinds.items():
        if kind not in KINDS:
            raise RecipeError(
                f"weights: {name} in {path.name} is of kind {kind}; allowed: {', '.join(KINDS)}"
            )
    return shapes


def read(path: Path) -> dict[str, Tensor]:
    """Read a state dict from .safetensors, .pth or .pt; RecipeError where that cannot be done."""
    if not os.path.isfile(path):  # noqa: PTH113 (is_file raises at a name too long)
        said = f"{str(path)[:200]} is not a file; allowed: none, imagenet, a file or a model folder"
        raise RecipeError(f"weights: {said}")
    try:
        _demand_no_bomb(path)
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # readers of foreign bytes raise whatever they stumble over
        said = str(error).split("\n", maxsplit=1)[0][:120]
        raise RecipeError(f"weights: {path.name} cannot be read as weights: {said}") from None
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise RecipeError(f"weights: {path.name} holds no state dict of tensors")
    return dict(state)


def load(net: Net, path: Path, *, head: bool = False) -> None:
    """Put the tensors of `path` into `net`; with `head` all of them, else all but the head.

    Half-precision tensors become the net's own type. Raises RecipeError for weights of another
    net, of another kind, and for values that are no numbers.
    """
    given = read(path)
    in_head = demand_fit({n: tuple(t.shape) for n, t in given.items()}, net, path.name, head=head)
    fits = {name: tensor for name, tensor in given.items() if name not in in_head}
    _demand_numbers(fits, net, path.name)
    net.module.load_state_dict(fits, strict=False)


def demand_fit(given: Shapes, net: Net, file: str, *, head: bool) -> set[str]:
    """Refuse shapes that are not those of `net` with a RecipeError; return what is left out."""
    own = net.module.state_dict()
    in_head = {name for name in own if name.startswith(f"{net.head}.") and not head}
    needed = {n for n in own if n not in in_head and "num_batches_tracked" not in n}
    fits = {n for n, t in own.items() if n in given and given[n] == tuple(t.shape)}
    wrong = [n for n in own if n not in fits and (n in needed or (n in given and n not in in_head))]
    extra = [n for n in given if n not in own]
    if wrong or extra:
        first = wrong[0] if wrong else extra[0]
        what = (
            "has another shape"
            if first in given and first in own
            else ("is missing" if first in own else "is not part of it")
        )
        raise RecipeError(
            f"weights: {file} is of another net than {net.name}: {first} {what} "
            f"({len(wrong)} tensors wrong, {len(extra)} unknown)"
        )
    return in_head


def _demand_numbers(given: Mapping[str, Tensor], net: Net, file: str) -> None:
    """Refuse tensors that copying would change in silence, or that can teach a net nothing."""
    for name, own in net.module.state_dict().items():
        tensor = given.get(name)
        if tensor is None:
            continue
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        kinds = REAL if own.is_floating_point() else (own.dtype, *REAL)
        if not plain or tensor.dtype not in kinds:
            kind = str(tensor.dtype).removeprefix("torch.") if plain else "sparse or empty"
            raise RecipeError(f"weights: {name} in {file} is of kind {kind}, and cannot be used")
        if tensor.is_floating_point() and not finite(tensor):
            raise RecipeError(f"weights: {name} in {file} holds values that are no numbers")


def finite(tensor: Tensor) -> bool:
    """Tell whether `tensor` holds numbers alone; twelve times as fast as asking each of them."""
    return not tensor.numel() or bool(torch.stack(tensor.aminmax()).isfinite().all())


def _demand_no_bomb(path: Path) -> None:
    """Refuse an archive that unpacks to more than it is: torch packs tensors as they are."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > path.stat().st_size:
            raise ValueError(f"it unpacks to {size} bytes")


def located(place: str, field: str = "weights") -> Path:
    """Return the model folder that a folder given as the recipe's `field` is or holds."""
    try:
        return configs.locate(Path(place))
    except RecipeError as error:
        raise RecipeError(f"{field}: {error}") from None


def digests(recipe: Recipe) -> tuple[str, str]:
    """Name the content of a recipe's start weights, and of its teacher; empty where it has none."""
    return digest(recipe.weights), digest(recipe.distill.teacher)


def digest(weights: str) -> str:
    """Name weights by their content, so that the same ones elsewhere are the same start.

    Of a model folder all counts that decides its answers.
    """
    if weights in ("none", "imagenet"):
        return weights
    if os.path.isdir(weights):  # noqa: PTH112 (is_dir raises at a name too long)
        folder = located(weights)
        config = configs.read(folder)
        facts, recipe = config.pretrained_cfg, config.recipe
        net = recipe.model, recipe.net.model_dump(exclude_defaults=True), recipe.size
        return named(_sha256(folder / NAME), facts.mean, facts.std, net)
    known = os.path.isfile(weights)  # noqa: PTH113
    return _sha256(Path(weights))[:16] if known else weights


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise RecipeError(f"weights: {path} is not a file")
    status = path.stat()
    return _read_once(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=256)
def _read_once(path: Path, *_unchanged: int) -> str:
    """Return the checksum of a file; of hundreds of runs from the same weights, the first reads."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_reachable(model: str, url: str, offline: bool) -> None:
    """With `offline`, refuse torchvision weights that are not on this disk already."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", maxsplit=1)[-1]
    if offline and not path.is_file():
        raise RecipeError(
            f"weights: imagenet for {model} is not on this disk and --offline was given; "
            f"put {path.name} into {path.parent}, or give a file"
        )


@contextmanager
def hub(model: str, *, offline: bool) -> Iterator[None]:
    """Let timm fetch weights inside; offline only from the disk. Failures become one sentence."""
    before = os.environ.get("HF_HUB_OFFLINE")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    except (OSError, RuntimeError) as error:
        said = str(error).split("\n", maxsplit=1)[0][:160]
        raise RecipeError(f"weights: those of {model} cannot be had: {said}") from None
    finally:
        if offline and before is None:
            del os.environ["HF_HUB_OFFLINE"]
