"""What the tests of trust share: the long programs, and a tiny study on a cache of the session."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ENDURANCE = Path(__file__).parents[1] / "endurance"


@pytest.fixture(scope="session")
def program() -> Callable[[str], ModuleType]:
    """Import one of the long programs, whose short run is a test."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, ENDURANCE / f"{name}.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return load
