"""A model folder to the Hugging Face Hub, with the library's own client. No torch.

Only what bakeoff wrote is uploaded, never what else lies in the folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bakeoff.fields import RecipeError
from bakeoff.models import config as configs

KNOWN = ("README.md", "config.json", "model.safetensors", "export/*.*", "export/golden/*.*")


def contents(folder: Path) -> list[Path]:
    """Return the files of a model folder that are uploaded; RecipeError where it is no model."""
    configs.read(folder)
    if not (folder / "model.safetensors").is_file():
        raise RecipeError(f"{folder}: no model.safetensors here")
    found = (path for pattern in KNOWN for path in sorted(folder.glob(pattern)))
    plain = (path for path in found if path.is_file() and not path.is_symlink())
    return [path for path in plain if not path.name.startswith(".")]


def check_name(repository: str) -> None:
    """Refuse what is no `owner/name`."""
    if not re.fullmatch(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}", repository, re.ASCII):
        raise RecipeError(f"{repository} is no repository; write it as owner/name")


def push(folder: Path, paths: Sequence[Path], repository: str, *, private: bool) -> str:
    """Upload `paths` of `folder` in one commit, making the repository if need be; return its URL.

    The token comes from where the Hub's tools keep it. Raises RecipeError where there is none, or
    where the Hub refuses or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    if get_token() is None:
        raise RecipeError("no token: log in with `hf auth login`, or set HF_TOKEN")
    api = HfApi(library_name="bakeoff")
    added = [CommitOperationAdd(str(path.relative_to(folder).as_posix()), path) for path in paths]
    try:
        url = api.create_repo(repository, private=private, exist_ok=True)
        api.create_commit(repository, added, commit_message="Upload a model made with bakeoff")
    except Exception as error:  # of whichever HTTP library the client stands on
        said = str(error).strip().splitlines()[0]
        raise RecipeError(f"{repository} was not uploaded: {said}") from None
    return str(url)
