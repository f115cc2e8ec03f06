"""Bands as a CSV file: written so that a spreadsheet runs nothing in it, and read cell by cell.

The first row names the columns, in any order; comma or semicolon; numbers as plain decimals with a point. What was
written is read back as the same bands, and written again as the same text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from treasury.controls.uploads import is_text
from treasury.controls.wanted import COLUMNS, Wanted, as_typed, terms_of
from treasury.controls.wanted import read as terms_read
from treasury.models import Account, Band, Direction, Unit
from treasury.models.cells import inert, living

WHOSE = ("connection", "account", "asset")
WRITTEN = (*WHOSE, *COLUMNS)
REMOVED = "removed"
READ = (*WRITTEN, REMOVED)
NEEDED = (*WHOSE, "minimum", "target")
SIZE_MOST = 256 * 1024  # bytes
ROWS_MOST = 2000
CELL_LONGEST = 200
PROBLEMS_MOST = 50  # shown of a file in which everything is wrong
YES, NO = ("yes", "true", "1"), ("", "no", "false", "0")


@dataclass(frozen=True)
class Problem:
    """``row`` counts from 1, which names the columns; 0 is the whole file. ``column`` is empty for a whole row."""

    row: int
    column: str
    sentence: str

    def __str__(self) -> str:
        if not self.row:
            return self.sentence
        return f"Row {self.row}{f', column {self.column}' if self.column else ''}: {self.sentence}"


class NotRead(Exception):
    """The text holds no bands. ``problems`` says what is wrong in which cell, and ``lines`` are the rows that could be
    read, so that what is wrong between them can be said at once."""

    def __init__(self, problems: Sequence[Problem], lines: Sequence[Line] = ()) -> None:
        super().__init__(" ".join(str(one) for one in problems))
        self.problems = list(problems)
        self.lines = list(lines)


@dataclass(frozen=True)
class Line:
    """A band as one row says it; ``row`` as in ``Problem``."""

    row: int
    wanted: Wanted


def written(bands: Iterable[Band]) -> str:
    """The bands as a CSV text, in the order given."""
    to = io.StringIO()
    out = csv.writer(to)  # the ends of lines as RFC 4180 has them
    out.writerow(WRITTEN)
    for band in bands:
        cells = {**as_typed(terms_of(band)), "asset": band.asset, "account": band.account.address}
        cells["connection"] = band.account.connection.name
        out.writerow(inert(cells[column]) for column in WRITTEN)
    return to.getvalue()


def text_of(content: bytes) -> str:
    """The text of a file, with or without a byte order mark, its lines ended by LF. Raises NotRead."""
    if len(content) > SIZE_MOST:
        raise NotRead([Problem(0, "", f"It is larger than {SIZE_MOST // 1024} KB; import it in parts.")])
    if not is_text(content):
        raise NotRead([Problem(0, "", "It is no text in UTF-8. Save it as CSV, UTF-8.")])
    return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def read(text: str) -> list[Line]:
    """The bands that the text names; what their cells say is read when they are proposed. Raises NotRead."""
    rows = rows_of(text)
    number, names = rows[0]
    columns = columns_of(number, names)
    accounts = {(one.connection.name, one.address): one for one in Account.objects.select_related("connection")}
    lines: list[Line] = []
    problems: list[Problem] = []
    for number, cells in rows[1:]:
        found = line_of(number, columns, cells, accounts)
        if isinstance(found, Line):
            lines.append(found)
        else:
            problems += found
    if not lines and not problems:
        raise NotRead([Problem(0, "", "Below its first row it names no band.")])
    if problems:
        raise NotRead(problems, lines)
    return lines


def rows_of(text: str) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, with their numbers, their cells stripped. Raises NotRead."""
    first = text.lstrip("\n").partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    try:
        parsed = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as wrong:
        raise NotRead([Problem(0, "", f"It is no CSV: {wrong}.")]) from None
    rows = [(number, [cell.strip() for cell in cells]) for number, cells in enumerate(parsed, start=1)]
    rows = [(number, cells) for number, cells in rows if any(cells)]
    if not rows:
        raise NotRead([Problem(0, "", "It is empty. Its first row names the columns.")])
    if len(rows) > ROWS_MOST + 1:
        raise NotRead([Problem(0, "", f"It has more than {ROWS_MOST} rows; import it in parts.")])
    return rows


def columns_of(number: int, names: Sequence[str]) -> list[str]:
    """The columns in their order. Raises NotRead: one that is not known, twice there, or missing."""
    columns = [living(name).casefold() for name in names]
    strange = [name or "without a name" for name in columns if name not in READ]
    twice = sorted({name for name in columns if name in READ and columns.count(name) > 1})
    missing = [name for name in NEEDED if name not in columns]
    problems = [Problem(number, name[:CELL_LONGEST], "There is no such column.") for name in strange]
    problems += [Problem(number, name, "It is there twice.") for name in twice]
    problems += [Problem(number, name, "It is missing. The first row names the columns.") for name in missing]
    if problems:
        raise NotRead(problems)
    return columns


def line_of(
    number: int, columns: Sequence[str], cells: Sequence[str], accounts: Mapping[tuple[str, str], Account]
) -> Line | list[Problem]:
    """The row's band, or what is wrong in it."""
    if len(cells) != len(columns):
        return [Problem(number, "", f"It has {len(cells)} cells, and the first row has {len(columns)}.")]
    if long := [column for column, cell in zip(columns, cells, strict=True) if len(cell) > CELL_LONGEST]:
        return [Problem(number, column, f"It is longer than {CELL_LONGEST} characters.") for column in long]
    said = {column: living(cell) for column, cell in zip(columns, cells, strict=True)}
    account = accounts.get((said["connection"], said["account"]))
    problems = [] if account else [unknown(number, said, accounts)]
    if said.get(REMOVED, "").casefold() not in (*YES, *NO):
        problems.append(Problem(number, REMOVED, "Write yes or no."))
    words = {name: said.get(name, "") for name in COLUMNS}
    words["unit"] = words["unit"].casefold() or Unit.AMOUNT.value
    words["direction"] = words["direction"].casefold() or Direction.BOTH.value
    removed = said.get(REMOVED, "").casefold() in YES
    wanted = Wanted(account=account or Account(), asset=said["asset"], removed=removed, **words)
    if not problems:
        return Line(number, wanted)
    _, wrong = (None, {}) if removed else terms_read(wanted)  # what its other cells say is not read any later
    return [*problems, *(Problem(number, column, sentence) for column, sentence in wrong.items())]


def unknown(number: int, said: Mapping[str, str], accounts: Mapping[tuple[str, str], Account]) -> Problem:
    """Whether it is the connection or the account that nobody knows."""
    if not any(name == said["connection"] for name, _ in accounts):
        return Problem(number, "connection", f"There is no connection called {said['connection'] or 'nothing'}.")
    return Problem(number, "account", f"{said['connection']} has no account with the address {said['account']}.")
