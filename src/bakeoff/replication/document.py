"""docs/replication.md: the report's rows, claims and doubts, each beside what run folders hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bakeoff.files import write_text
from bakeoff.render import DASH, points
from bakeoff.replication import words
from bakeoff.replication.printed import DOUBTED, REPLAYED, PrintedTable, report
from bakeoff.replication.replay import (
    Pair,
    Replay,
    Settled,
    conditions,
    pairs,
    read_replay,
    settle,
)

SPLITS = ("train", "validation", "test")


def write_replication(folders: Sequence[Path], out: Path) -> Path:
    """Write the replication of the report from `folders` (of its two studies) to `out`.

    Every printed row stands there, run or not. Raises RecipeError for a folder of another study.
    """
    found = [read_replay(folder) for folder in folders]
    replays = [each for each in found if each.study.name == REPLAYED]
    doubted = [each for each in found if each.study.name == DOUBTED]
    parts = [
        *_head(),
        *(part for table in report().tables for part in _table(table, replays)),
        *_claims(replays),
        *_doubts(doubted),
    ]
    write_text(out, "\n".join(parts).rstrip() + "\n")
    return out


def _head() -> list[str]:
    said = report()
    counts = ", ".join(f"{number:,} {split}" for split, number in said.photographs.items())
    return [
        "# The report, replayed",
        "",
        f"*{said.source}* prints 22 rows, each from one run. Here each stands beside ours. "
        "Accuracies are % with the sample standard deviation over seeds, losses nats; Δ is the "
        "difference to the table's base in points. Nothing here is typed: "
        "`bakeoff replication FOLDER… --out docs/replication.md` writes it from run folders.",
        "",
        f"The report: {len(said.classes)} classes of Food-101, {counts}, {said.size} px, "
        f"{said.epochs} epochs, one seed, {said.hardware}.",
        "",
    ]


def _table(table: PrintedTable, replays: Sequence[Replay]) -> list[str]:
    """Return one part for each folder that has run of the table, or one that says what to run."""
    ran = [each for each in replays if each.finished(table.name)]
    parts = [f"## Table {table.number}: `{table.name}`", ""]
    if not ran:
        command = f"bakeoff run {REPLAYED} --only {table.name}"
        return [*parts, f"Not run here: `{command}`.", "", *_rows(pairs(table, None))]
    for number, each in enumerate(ran, start=1):
        if len(ran) > 1:
            parts += [f"### Replay {number} of {len(ran)}", ""]
        facts = conditions(each.finished(table.name))
        parts += [f"- {name}: {_plain(text)}" for name, text in facts]
        parts += ["", *_rows(pairs(table, each))]
    return parts


def _rows(found: Sequence[Pair]) -> list[str]:
    heads = (f"{whose} {split}" for whose in ("printed", "our") for split in SPLITS)
    lines = [["row", *heads, "n", "printed Δ", "our Δ", "verdict"]]
    lines += [_line(pair) for pair in found]
    notes = [f"{pair.printed.variant}: {pair.printed.note}." for pair in found if pair.printed.note]
    missing = [pair for pair in found if pair.ours is None]
    if 0 < len(missing) < len(found):
        names = ",".join(f"{pair.printed.table}/{pair.printed.variant}" for pair in missing)
        notes.append(f"Not run here: `bakeoff run {REPLAYED} --only {names}`.")
    return [*_markdown(lines), "", *(f"{note}\n" for note in notes)]


def _line(pair: Pair) -> list[str]:
    row = pair.ours
    verdict = row.verdict.verdict if row and row.verdict else "" if row else words.ASKED
    return [
        pair.printed.variant,
        *(words.printed(getattr(pair.printed, split)) for split in SPLITS),
        *(words.ours(row, split) for split in SPLITS),
        str(row.n) if row else DASH,
        "base" if pair.printed_difference is None else points(pair.printed_difference),
        DASH if row is None else "base" if row.is_base else points(row.difference),
        verdict,
    ]


def _claims(replays: Sequence[Replay]) -> list[str]:
    parts = ["## What the report says of its runs", ""]
    if not replays:
        return [*parts, f"Not run here: `bakeoff run {REPLAYED} --seeds 6`.", ""]
    parts += [
        "Each claim is judged alone at 5 %, over at least six seeds (docs/evidence.md). With fewer "
        "the answer is `cannot tell`, and the difference so far stands beside it.",
        "",
    ]
    for number, each in enumerate(replays, start=1):
        if len(replays) > 1:
            parts += [f"### Folder {number} of {len(replays)}", ""]
        lines = [["claim", "finding", "why"]]
        lines += [
            [judged.claim.sentence, words.finding(judged), judged.why]
            for judged in each.judgements
            if words.finding(judged) != words.ASKED
        ]
        parts += [f"{words.tally(each.judgements)}.", ""]
        parts += [*_markdown(lines), ""] if len(lines) > 1 else []
    return parts


def _doubts(doubted: Sequence[Replay]) -> list[str]:
    parts = ["## Where the report contradicts itself", ""]
    runs = [part for each in doubted for part in _doubt_conditions(each)]
    asked: list[Replay | None] = [*doubted] or [None]
    for place, doubt in enumerate(report().doubts):
        found = [settle(each)[place] for each in asked]
        ran = [each for each in found if each.row is not None]
        said = [text for each in (ran or found[:1]) if (text := _said(each))]
        parts += [
            f"**{doubt.question}** {doubt.printed}",
            "",
            f"- Here: {doubt.here}.",
            *(f"- {text}." for text in said),
            "",
        ]
    return [*parts, *runs]


def _said(found: Settled) -> str:
    if found.row is None:
        return f"Not run here: `{found.command}`" if found.command else ""
    return f"The runs: {_plain(words.settled(found))}"


def _doubt_conditions(found: Replay) -> list[str]:
    """Say on what each table of `report-doubts` was run."""
    parts = []
    for table in dict.fromkeys(row.table for row in found.rows):
        if rows := found.finished(table):
            facts = "; ".join(f"{name.lower()}: {_plain(text)}" for name, text in conditions(rows))
            parts += [f"`{table}` ran on: {facts}.", ""]
    return parts


def _markdown(lines: Sequence[Sequence[str]]) -> list[str]:
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return [f"| {' | '.join(map(_cell, cells))} |" for cells in ruled]


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Keep what stands in names from being read as Markdown."""
    return "".join(_escaped(text))


def _escaped(text: str) -> Iterable[str]:
    return (f"\\{sign}" if sign in "*_`<[" else sign for sign in text)
