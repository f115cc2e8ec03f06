"""Reference prices as a sheet of comma-separated values: read, compared with what counts now, entered all or none;
and written out so that no spreadsheet takes a cell for a formula."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum

from django.db import transaction

from treasury.audit.record import canonical, stamp
from treasury.balances import holdings, prices, unusual
from treasury.balances.prices import COLUMNS, NotEntered, Said
from treasury.models import Price, User
from treasury.models.amount import plain
from treasury.models.cells import inert, living

LINES_MOST = 500
LETTERS_MOST = 200_000
SAID_BESIDE = ("entered_by", "entered_at")  # columns of our own sheets that say nothing when they are read again


@dataclass(frozen=True)
class Wrong:
    """What is wrong with a cell; line 1 is the header, and ``column`` is empty where it is the whole line."""

    line: int
    column: str
    sentence: str


class BadSheet(Exception):
    """The sheet cannot be entered. Nothing was entered."""

    def __init__(self, wrong: Sequence[Wrong]) -> None:
        places = "1 place is" if len(wrong) == 1 else f"{len(wrong)} places are"
        super().__init__(f"Nothing was entered: {places} wrong.")
        self.wrong = list(wrong)


class OtherSheet(Exception):
    """What would be entered is not what was looked at. Nothing was entered."""


class Means(Enum):
    """What a line does to the price that counts now."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same price, later"
    PAST = "for the past"
    THERE = "there already"


@dataclass(frozen=True)
class Row:
    """A line of the sheet beside the price that counts now, None where there is none."""

    line: int
    said: Said
    before: Price | None
    means: Means
    warnings: list[str] = field(default_factory=list)

    @property
    def change(self) -> Decimal | None:
        """Percent against the price that counts now."""
        return unusual.change_of(self.said, self.before)


@dataclass(frozen=True)
class Preview:
    """What a sheet would do. ``digest`` binds it to the prices it was compared with."""

    rows: list[Row]
    digest: str

    @property
    def entering(self) -> list[Row]:
        return [row for row in self.rows if row.means != Means.THERE]

    @property
    def warnings(self) -> list[str]:
        return [warning for row in self.entering for warning in row.warnings]


def import_csv(*, text: str, digest: str, by: User, at: datetime, sure: bool = False) -> list[Price]:
    """Enter every price of the sheet, or none. ``digest``: of the preview that was looked at; ``sure``: what it warned
    of was said to be right.

    Raises MayNotPrice for anyone but an operator, BadSheet, OtherSheet, unusual.NotSure.
    """
    with transaction.atomic():
        prices.insist(by)
        prices.lock()
        found = preview(text=text, at=at)
        if found.digest != digest:
            raise OtherSheet("Nothing was entered. The sheet, or a price it is compared with, has changed; look again.")
        unusual.insist(found.warnings, sure=sure)
        return prices.write([row.said for row in found.entering], by=by, at=at)


def preview(*, text: str, at: datetime) -> Preview:
    """What the sheet would do; changes nothing. Raises BadSheet."""
    said = read(text, at)
    counting = {(one.asset, one.currency): one for one in prices.newest_of_all(at)}
    there = present([one for _, one in said])
    held, rows = holdings.assets_held(), []
    for line, one in said:
        before = counting.get(one.key)
        what = means(one, before, there)
        warnings = [] if what == Means.THERE else unusual.warnings_of(one, before, held)
        rows.append(Row(line, one, before, what, warnings))
    return Preview(rows, digest_of(rows))


def present(said: Sequence[Said]) -> dict[tuple[str, str, datetime], Price]:
    """The stored prices of the same assets and moments, by asset, currency and moment; the newest row of each."""
    stored = Price.objects.filter(asset__in={one.asset for one in said}, as_of__in={one.as_of for one in said})
    return {(one.asset, one.currency, one.as_of): one for one in stored.order_by("id")}


def means(said: Said, before: Price | None, there: dict[tuple[str, str, datetime], Price]) -> Means:
    same = there.get((*said.key, said.as_of))
    if same is not None and (same.price, same.source) == (said.price, said.source):
        return Means.THERE
    if before is None:
        return Means.NEW
    if said.as_of < before.as_of:
        return Means.PAST
    return Means.SAME if said.price == before.price else Means.CHANGED


def digest_of(rows: Iterable[Row]) -> str:
    words = [
        [
            row.said.asset,
            row.said.currency,
            row.said.price,
            row.said.as_of,
            row.said.source,
            row.means.value,
            row.warnings,
            None if row.before is None else row.before.pk,
        ]
        for row in rows
    ]
    return hashlib.sha256(canonical({"prices": words}).encode()).hexdigest()


# -- reading -------------------------------------------------------------------------------------------------


def read(text: str, at: datetime) -> list[tuple[int, Said]]:
    """Each price with its line. Raises BadSheet with everything that is wrong, cell by cell."""
    found: list[tuple[int, Said]] = []
    wrong: list[Wrong] = []
    lines: dict[tuple[str, str, datetime], int] = {}
    for line, cells in lines_of(text):
        try:
            one = prices.checked(cells, at)
        except NotEntered as refusal:
            wrong += [Wrong(line, column, sentence) for column, sentence in refusal.problems.items()]
            continue
        first = lines.setdefault((*one.key, one.as_of), line)
        if first != line:
            wrong.append(Wrong(line, "", f"Line {first} says the price of {one.asset} at that moment already."))
        found.append((line, one))
    if wrong:
        raise BadSheet(wrong)
    return found


def lines_of(text: str) -> list[tuple[int, dict[str, str]]]:
    """The cells of each line that has any, by column. Raises BadSheet for what is no such sheet."""
    if len(text) > LETTERS_MOST:
        raise BadSheet([Wrong(1, "", f"A sheet has at most {LETTERS_MOST} letters.")])
    sheet = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    found: list[tuple[int, dict[str, str]]] = []
    header: list[str] | None = None
    try:
        for cells in sheet:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = header_of(cells)
            elif len(cells) != len(header):
                sentence = f"It has {len(cells)} cells, and the header has {len(header)}."
                raise BadSheet([Wrong(sheet.line_num, "", sentence)])
            else:
                found.append((sheet.line_num, dict(zip(header, map(living, cells), strict=True))))
    except csv.Error as problem:
        raise BadSheet([Wrong(sheet.line_num, "", f"It is no line of comma-separated values: {problem}.")]) from None
    if not found:
        raise BadSheet([Wrong(1, "", f"There is no price in it. Its first line reads {','.join(COLUMNS)}.")])
    if len(found) > LINES_MOST:
        raise BadSheet([Wrong(found[LINES_MOST][0], "", f"A sheet has at most {LINES_MOST} prices.")])
    return found


def header_of(cells: Sequence[str]) -> list[str]:
    """The columns in the sheet's own order. Raises BadSheet."""
    header = [cell.strip().lower().replace(" ", "_") for cell in cells]
    missing = [column for column in COLUMNS if column not in header]
    strange = [cell for cell in header if cell not in (*COLUMNS, *SAID_BESIDE)]
    twice = sorted({cell for cell in header if header.count(cell) > 1})
    for columns, sentence in ((missing, "is missing"), (strange, "is no column of prices"), (twice, "is there twice")):
        if columns:
            hint = f" The first line reads {','.join(COLUMNS)}."
            raise BadSheet([Wrong(1, one[:40], f"The column {one[:40]} {sentence}.{hint}") for one in columns])
    return header


# -- writing -------------------------------------------------------------------------------------------------


def sheet(told: Iterable[Price]) -> str:
    """The prices as a sheet that can be read again."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*COLUMNS, *SAID_BESIDE])
    for one in told:
        who, when = one.entered_by.get_username(), stamp(one.entered_at)
        cells = (one.asset, one.currency, plain(one.price), stamp(one.as_of), one.source, who, when)
        writer.writerow(map(inert, cells))
    return text.getvalue()
