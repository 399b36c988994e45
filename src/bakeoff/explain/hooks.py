"""Looking into a net while it runs: hooks that are gone afterwards, and a net left as found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Seen = Callable[[str, nn.Module, Any], None]


@contextmanager
def as_found(module: nn.Module) -> Iterator[None]:
    """Put `module` into eval mode inside; leave modes, gradients and what learns as before.

    Modes are put back one module at a time: a net in training may hold frozen parts in eval mode.
    """
    modes = [(child, child.training) for child in module.modules()]
    learning = [(p, p.requires_grad, p.grad) for p in module.parameters()]
    module.eval()
    try:
        yield
    finally:
        for child, mode in modes:
            child.training = mode
        for parameter, learns, gradient in learning:
            parameter.requires_grad_(learns)
            parameter.grad = gradient


@contextmanager
def watching(modules: Mapping[str, nn.Module], seen: Seen) -> Iterator[None]:
    """Call `seen(name, module, output)` whenever one of `modules` has run; hooks are removed."""
    handles = []

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, _, output: seen(name, module, output)

    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(hook(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def as_map(output: Any) -> Tensor | None:
    """Lay a layer's output out as (N, C, H, W); None where it is no map.

    Photographs are square, and so are maps: of four dimensions the two equal neighbours are height
    and width, also where channels stand last. Tokens (N, T, C) are laid back as a square, up to
    eight at the front (class token, registers) left out.
    """
    if not isinstance(output, Tensor):
        return None
    if output.dim() == 4:
        if output.shape[2] == output.shape[3]:
            return output
        return output.permute(0, 3, 1, 2) if output.shape[1] == output.shape[2] else None
    if output.dim() == 3:
        for extra in range(9):
            side = round(max(output.shape[1] - extra, 0) ** 0.5)
            if side > 1 and side * side == output.shape[1] - extra:
                tokens = output[:, extra:].transpose(1, 2)
                return tokens.reshape(*tokens.shape[:2], side, side)
    return None
