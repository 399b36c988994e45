"""A check shown: a table on the terminal, a bar while it works, pictures on the page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from markupsafe import Markup, escape
from rich import box
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from bakeoff.data.findings import Audit, Example, Finding
from bakeoff.data.photographs import Progress

SHOWN = 2  # examples of a finding on the terminal
MEGABYTE = 1_000_000
SECONDS_BETWEEN_LINES = 10.0
STYLES = {"harm": "red", "care": "yellow", "note": "dim"}
WORDS = {"harm": "harms", "care": "care", "note": "note"}


def terminal(audit: Audit) -> RenderableType:
    """Return the check as a Rich table, heaviest findings first, to be read at 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("finding", overflow="fold", ratio=1)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for finding in audit.findings:
        told = Text(finding.title)
        for example in finding.examples[: SHOWN if finding.weight != "note" else 0]:
            told.append(f"\n{in_words(example)}", style="dim")
        if finding.weight != "note":
            told.append(f"\n{finding.advice}", style="italic")
        weight = Text(WORDS[finding.weight], style=STYLES[finding.weight])
        table.add_row(weight, told, _count(finding), _share(finding))
    head = [Text(line) for line in _head(audit)]
    return Group(*head, *([table] if audit.findings else []), Text(verdict(audit), style="bold"))


def fragment(
    audit: Audit, picture: Callable[[str], bytes | None], *, budget: int = MEGABYTE
) -> Markup:
    """Return the check as HTML for a section of the page, with pictures up to `budget` bytes.

    `picture` gives a small JPEG of a photograph by its path, or None. Names are escaped.
    """
    left = [budget]
    rows = [Markup("<p>{}</p>").format(line) for line in (*_head(audit), verdict(audit))]
    for finding in audit.findings:
        rows.append(
            Markup("<h3>{}: {} ({})</h3>\n<p class='muted'>{}</p>").format(
                finding.title.capitalize(), _count(finding), _share(finding), finding.advice
            )
        )
        shown = [_figure(example, picture, left) for example in finding.examples]
        rows.append(Markup("<div style='{}'>{}</div>").format(_ROW, Markup("").join(shown)))
    return Markup("\n").join(rows)


def lead(audit: Audit) -> str:
    """Return the sentence that stands above the fragment."""
    return f"All {audit.photographs:,} files decoded and compared, in every class and split."


def verdict(audit: Audit) -> str:
    """Say in a sentence whether anything harms."""
    if audit.harmful:
        kinds = "kind of finding harms" if len(audit.harmful) == 1 else "kinds of findings harm"
        return f"{len(audit.harmful)} {kinds}: see to these before you train."
    if any(finding.weight == "care" for finding in audit.findings):
        return "Nothing harms; the findings above deserve a look."
    return "Nothing wrong was found."


def in_words(example: Example) -> str:
    """Say an example on one line: `a/1.jpg = b/2.jpg (likeness 0.98)`."""
    paths = " = ".join(_printable(path) for path in (*example.paths, *example.beside))
    detail = _printable(example.detail)
    return f"{paths} ({detail})" if paths and detail else paths or detail


@contextmanager
def counting(console: Console) -> Iterator[Progress]:
    """Give a Progress: a bar that vanishes on a terminal, a line now and then anywhere else."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total or None
        )


def _lines(console: Console) -> Progress:
    said = monotonic()

    def say(what: str, done: int, total: int) -> None:
        nonlocal said
        if monotonic() - said >= SECONDS_BETWEEN_LINES:
            console.print(f"{what}: {done} of {total or '?'}", highlight=False)
            said = monotonic()

    return say


def _head(audit: Audit) -> list[str]:
    splits = ", ".join(f"{name} {count:,}" for name, count in audit.splits.items() if count)
    even = audit.largest_over_smallest
    ratio = (
        "a class has no photograph"
        if even is None
        else f"the largest class {even:.3g} x the smallest"
    )
    return [
        f"{audit.name}: {audit.photographs:,} photographs ({audit.megabytes:,.0f} MB), "
        f"{audit.good:,} good, {len(audit.classes)} classes, {ratio}",
        f"{splits or 'no split'}: {audit.split}",
    ]


def _count(finding: Finding) -> str:
    classes = " classes" if finding.unit == "classes" and finding.count else ""
    return f"{finding.count:,}{classes}" if finding.count else "–"


def _share(finding: Finding) -> str:
    return f"{100 * finding.share:.2g} %" if finding.count else "–"


def _printable(text: str) -> str:
    """Show what is no text in a file's name as an escape, not as something that cannot be sent."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


_ROW = "display:flex;flex-wrap:wrap;gap:.6rem"
_CAPTION = "font-size:.75rem;max-width:20rem;overflow-wrap:anywhere"


def _figure(example: Example, picture: Callable[[str], bytes | None], left: list[int]) -> Markup:
    """Return an example's pictures, as long as there is room, over its paths."""
    images = []
    for path in (*example.paths, *example.beside):
        data = picture(path) if left[0] > 0 else None
        text = b64encode(data).decode("ascii") if data else ""
        if text and len(text) <= left[0]:
            left[0] -= len(text)
            source = Markup("<img src='data:image/jpeg;base64,{}' alt='{}'>")
            images.append(source.format(Markup(text), _printable(path)))
    body = Markup("<figure style='margin:0'>{}<figcaption style='{}'>{}</figcaption></figure>")
    return body.format(Markup("").join(images), _CAPTION, escape(in_words(example)))
