"""A figure on paper (Matplotlib): its type, its lines, its files, whose bytes repeat. No torch.

No pyplot and no global state. What is drawn is decided in `figures` and `explain.draw`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import font_manager, rc_context
from matplotlib.figure import Figure
from matplotlib.text import Text

from bakeoff.files import aside

FORMATS = ("pdf", "svg", "png")
_UNDATED = {"pdf": "CreationDate", "svg": "Date", "png": "Software"}
_WIDE_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "Yu Gothic", "SimSun")
_LAST_OF_DEJAVU = "\u2e7f"
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "figure.constrained_layout.use": True,
    "image.interpolation": "nearest",
    "pdf.fonttype": 42,
    "svg.hashsalt": "bakeoff",
    "savefig.dpi": 200,
}


@contextmanager
def styled(*, grid: bool = False) -> Iterator[None]:
    """Lay our style over Matplotlib's own."""
    with rc_context({**_STYLE, "axes.grid": grid}):
        yield


def save(figure: Figure, folder: Path, stem: str, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Save `figure` in `formats` in `folder`, all or nothing a file; return the files."""
    files = []
    for suffix in formats:
        files.append(folder / f"{stem}.{suffix}")
        with aside(files[-1]) as temporary:
            temporary.write_bytes(drawn(figure, suffix))
    return files


def drawn(figure: Figure, suffix: str = "png") -> bytes:
    """Return `figure` as the bytes of a PDF, SVG or PNG file, without date or version."""
    with styled(), warnings.catch_warnings(), BytesIO() as file:
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        _readable(figure)
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # so that every format has the same layout
        figure.savefig(file, format=suffix, metadata={_UNDATED[suffix]: None})
        return file.getvalue()


def _readable(figure: Figure) -> None:
    """Take names as they are, not as formulas; give those in other scripts a font of theirs."""
    there = {font.name for font in font_manager.fontManager.ttflist}
    wide = [name for name in _WIDE_FONTS if name in there]
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        if max(text.get_text(), default="") > _LAST_OF_DEJAVU:
            text.set_fontfamily(["DejaVu Sans", *wide])
