"""Food-101 in its authors' layout, and its download.

`images/<class>/<id>.jpg` with `meta/classes.txt`, `train.txt` and `test.txt`; a folder of one's own
in this layout is read too. Bossard, Guillaumin, Van Gool: Food-101, ECCV 2014.
"""

from __future__ import annotations

import logging
import tarfile
from pathlib import Path

from bakeoff.data.cache import cache_dir, publish, written_aside
from bakeoff.data.classes import choose
from bakeoff.data.photographs import DataError, Photographs, Progress, gather, listing
from bakeoff.data.spec import DataSpec

URL = "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz"
HASH = "md5:85eeb15f3717b99a5da872d97d918f87"
FOLDER = "food-101"

# The order of the official classes.txt, which is not that of the alphabet (cheesecake comes before
# cheese_plate). Kept here because a copy with fewer classes lists only those.
_ORDER = """
apple_pie baby_back_ribs baklava beef_carpaccio beef_tartare beet_salad beignets bibimbap
bread_pudding breakfast_burrito bruschetta caesar_salad cannoli caprese_salad carrot_cake
ceviche cheesecake cheese_plate chicken_curry chicken_quesadilla chicken_wings chocolate_cake
chocolate_mousse churros clam_chowder club_sandwich crab_cakes creme_brulee croque_madame
cup_cakes deviled_eggs donuts dumplings edamame eggs_benedict escargots falafel filet_mignon
fish_and_chips foie_gras french_fries french_onion_soup french_toast fried_calamari fried_rice
frozen_yogurt garlic_bread gnocchi greek_salad grilled_cheese_sandwich grilled_salmon guacamole
gyoza hamburger hot_and_sour_soup hot_dog huevos_rancheros hummus ice_cream lasagna
lobster_bisque lobster_roll_sandwich macaroni_and_cheese macarons miso_soup mussels nachos
omelette onion_rings oysters pad_thai paella pancakes panna_cotta peking_duck pho pizza
pork_chop poutine prime_rib pulled_pork_sandwich ramen ravioli red_velvet_cake risotto samosa
sashimi scallops seaweed_salad shrimp_and_grits spaghetti_bolognese spaghetti_carbonara
spring_rolls steak strawberry_shortcake sushi tacos takoyaki tiramisu tuna_tartare waffles
"""
OFFICIAL_ORDER = tuple(_ORDER.split())


def official_root(folder: Path) -> Path | None:
    """Find the official layout in a folder or in its child `food-101`."""
    for root in (folder, folder / FOLDER):
        if (root / "images").is_dir() and (root / "meta" / "train.txt").is_file():
            return root
    return None


def read_official(root: Path, spec: DataSpec) -> Photographs:
    """Read the official layout with its train and test lists.

    `every` counts in the official order of all 101 classes, also where only some are on disk.
    """
    listed = _lines(root / "meta" / "classes.txt")
    order = OFFICIAL_ORDER if set(listed) <= set(OFFICIAL_ORDER) else tuple(listed)
    classes = choose(spec, [name for name in order if name in set(listed)], order)
    images = root / "images"
    absent = [name for name in classes if not (images / name).is_dir()]
    if absent:
        present = [name for name in order if (images / name).is_dir()]
        raise DataError(
            f"data.classes takes {listing(absent, 20)}, of which {images} has no photographs; "
            f"there: {listing(present, 20) or 'none'}"
        )
    chosen = set(classes)
    rows = [
        (f"images/{line}.jpg", line.split("/")[0], split, "")
        for split in ("train", "test")
        for line in _lines(root / "meta" / f"{split}.txt")
        if line.split("/")[0] in chosen
    ]
    _demand_files(root, classes, [path for path, _, _, _ in rows])
    return gather(FOLDER, root, classes, rows)


def fetch(
    *,
    offline: bool = False,
    progress: Progress | None = None,
    url: str = URL,
    known_hash: str = HASH,
    within: Path | None = None,
) -> Path:
    """Give the unpacked data set in the cache, downloading it (5 GB) if it is not there.

    The archive is checked against `known_hash` and unpacked aside, so that a folder under the final
    name is always whole.
    """
    within = within or cache_dir()
    final = within / FOLDER
    if official_root(final):
        return final
    if offline:
        raise DataError(
            f"data.source food101 is not in {within} and may not be downloaded offline; go online "
            "once, or give the path of an unpacked copy"
        )
    archive = _download(url, known_hash, within, progress)
    with written_aside(final) as aside:
        _unpack(archive, aside, progress)
        unpacked = official_root(aside)
        if unpacked is None:
            raise DataError(f"data.source: {url} holds no images/ and meta/train.txt")
        publish(unpacked, final)
    archive.unlink(missing_ok=True)
    return final


class _Bar:
    """What pooch asks of a progress bar, handed on to a Progress."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.done, self.total = progress, 0, 0

    def update(self, size: int) -> None:
        self.done += size
        self.progress("downloading", min(self.done, self.total or self.done), self.total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass


def _download(url: str, known_hash: str, within: Path, progress: Progress | None) -> Path:
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    bar = _Bar(progress) if progress else False
    downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**20, timeout=60)
    try:
        file = pooch.retrieve(url, known_hash, f"{FOLDER}.tar.gz", within, downloader=downloader)
    except requests.RequestException as error:
        raise DataError(f"data.source food101: the download of {url} failed: {error}") from error
    except ValueError as error:
        raise DataError(
            f"data.source food101: what {url} gave has not the known hash {known_hash}; the "
            "download was cut short or the file was changed"
        ) from error
    return Path(file)


def _unpack(archive: Path, folder: Path, progress: Progress | None) -> None:
    size = archive.stat().st_size
    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|gz") as tar:
            for number, member in enumerate(tar):
                tar.extract(member, folder, filter="data")
                if progress and number % 200 == 0:
                    progress("unpacking", raw.tell(), size)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"data.source: {archive} cannot be unpacked: {error}") from error
    if progress:
        progress("unpacking", size, size)


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"data.source: {file} is missing from the Food-101 layout") from None
    except PermissionError:
        raise DataError(f"data.source: no permission to read {file}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _demand_files(root: Path, classes: tuple[str, ...], paths: list[str]) -> None:
    folders = [root / "images" / name for name in classes]
    there = {f"images/{folder.name}/{file.name}" for folder in folders for file in folder.iterdir()}
    absent = [path for path in paths if path not in there]
    if absent:
        raise DataError(
            f"data.source: the lists in {root / 'meta'} name photographs that are not there: "
            f"{listing(absent)}"
        )
