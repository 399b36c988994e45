"""What lies inside a tar file, and where: read once, without unpacking anything, and then kept."""

from __future__ import annotations

import json
import tarfile
from contextlib import suppress
from hashlib import sha256
from typing import IO, NamedTuple, cast

from bakeoff.data.addresses import File, described, opened, reaching, shown
from bakeoff.data.cache import cache_dir
from bakeoff.data.photographs import SUFFIXES, DataError
from bakeoff.files import write_text

VERSION = 1  # raise it when an index says something else
AHEAD = 4 * 2**20  # bytes read at once
LONGEST = 2**20  # bytes of a header or a label; more is an attack
LABELS = (".cls", ".json")
FIELDS = ("class", "class_name", "label", "cls")  # of a .json; the first one there counts


class Members(NamedTuple):
    """Of one tar: its images (name, first byte, size), and the class each WebDataset key says."""

    images: list[tuple[str, int, int]]
    labels: dict[str, str]


def members_of(address: str) -> tuple[File, Members]:
    """List what is inside a tar, read once and then from the cache. Raises DataError."""
    system, path = opened(address)
    with reaching(address):
        system.invalidate_cache()
        file = described(system.info(path))
    key = sha256(f"{VERSION} {address} {file}".encode(errors="surrogateescape")).hexdigest()[:32]
    kept = cache_dir() / "tars" / f"{key}.json"
    with suppress(OSError, ValueError, TypeError):
        images, labels = json.loads(kept.read_bytes())
        return file, Members([(inside, start, size) for inside, start, size in images], labels)
    try:
        with (
            reaching(address),
            system.open(path, "rb", block_size=AHEAD, cache_type="readahead") as raw,
        ):
            members = _scanned(raw, file.size)
    except _TarError as error:
        raise DataError(f"data.source: {shown(address)} {error}") from None
    with suppress(OSError):  # a cache that cannot be written to is none
        write_text(kept, json.dumps(members))
    return file, members


class _TarError(DataError):
    """What is wrong with a tar; the message goes on where its name ended."""


class _Forwards:
    """What tarfile reads headers through: only forwards, and no header that fills the memory."""

    def __init__(self, raw: IO[bytes]) -> None:
        self.raw, self.tell = raw, raw.tell

    def seek(self, place: int) -> int:
        if place < self.tell() - 1:  # one byte back is how tarfile looks whether there is more
            raise tarfile.ReadError("a member begins before the one in front of it ends")
        return self.raw.seek(place)

    def read(self, size: int) -> bytes:
        if size > LONGEST:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self.raw.read(size)


def _scanned(raw: IO[bytes], size: int) -> Members:
    """Go through a tar from its beginning to its end, and never back."""
    if raw.read(3) in (b"\x1f\x8b\x08", b"BZh", b"\xfd7z"):
        raise _TarError("is compressed, so no photograph in it can be read alone; decompress it")
    raw.seek(0)
    members, seen = Members([], {}), set()
    try:
        with tarfile.open(fileobj=cast(IO[bytes], _Forwards(raw)), mode="r:") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.isdir() or not name.lower().endswith((*SUFFIXES, *LABELS)):
                    continue
                _demand_harmless(member, name, size)
                if name in seen:
                    raise _TarError(f"holds {name[:200]!r} twice")
                seen.add(name)
                if name.lower().endswith(SUFFIXES):
                    members.images.append((name, member.offset_data, member.size))
                else:
                    raw.seek(member.offset_data)
                    _note(members.labels, name, raw.read(member.size))
            end = tar.offset
    except (tarfile.TarError, OverflowError) as error:
        raise _TarError(f"is no tar file, or a damaged one: {error}") from None
    raw.seek(end)
    if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise _TarError(f"is damaged or cut short at byte {end} of {size}")
    return members


def _demand_harmless(member: tarfile.TarInfo, name: str, size: int) -> None:
    """Refuse members that are no plain files, or pretend to be what they are not."""
    said = repr(name[:200])
    if name.startswith("/") or ".." in name.split("/") or not name.isprintable():
        raise _TarError(f"holds a member with the unsafe name {said}")
    if member.islnk() or member.issym():
        raise _TarError(f"holds {said} as a link; put the file itself into it")
    if not member.isreg() or member.issparse():
        raise _TarError(f"holds {said}, which is no plain file")
    if member.size < 0 or member.offset_data + member.size > size:
        raise _TarError(
            f"is cut short: {said} has {member.size} bytes beginning at byte "
            f"{member.offset_data}, and the file {size} in all"
        )
    if name.lower().endswith(LABELS) and member.size > LONGEST:
        raise _TarError(f"holds {said} of {member.size} bytes, too large for a class")


def _note(labels: dict[str, str], name: str, content: bytes) -> None:
    """Note the class that a .cls or .json says; the .cls counts where there are both."""
    key, text = key_of(name), content.decode("utf-8", errors="surrogateescape").strip()
    if name.lower().endswith(".cls"):
        if not text:
            raise _TarError(f"holds {name!r} without a class in it")
        labels[key] = text
        return
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return
    values = [fields[field] for field in FIELDS if field in fields] if type(fields) is dict else []
    told = [str(value).strip() for value in values if isinstance(value, str | int)]
    if told and key not in labels:
        labels[key] = told[0]


def key_of(name: str) -> str:
    """Return what the files of one sample share: all before the first dot of the last name."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]
