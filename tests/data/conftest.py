"""Small folders of real JPEG files, and a cache of each test's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bakeoff.data.spec import DataSpec

Fill = Callable[[Path, dict[str, int]], Path]
Spec = Callable[..., DataSpec]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BAKEOFF_CACHE", str(folder))
    return folder


@pytest.fixture
def fill() -> Fill:
    """Write so many distinct JPEG files into each class folder."""

    def write(root: Path, counts: dict[str, int]) -> Path:
        for name, count in counts.items():
            folder = root / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                seed = sum(f"{name}{number}".encode()) + 1000 * number
                noise = np.random.default_rng(seed).integers(0, 255, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"img{number}.jpg")
        return root

    return write


@pytest.fixture
def spec() -> Spec:
    def make(source: object, **fields: object) -> DataSpec:
        return DataSpec.model_validate({"source": str(source), **fields})

    return make


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """Run an object store that speaks S3 on this machine; give its address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(object_store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the address of an empty bucket, which `fsspec` reaches with keys of the environment."""
    import fsspec
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    S3FileSystem.clear_instance_cache()
    system = fsspec.filesystem("s3")
    system.mkdir("here")
    yield "s3://here"
    system.rm("here", recursive=True)
    S3FileSystem.clear_instance_cache()
