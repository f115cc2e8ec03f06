"""What we held at a moment, as a file for a spreadsheet: plain decimals, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from treasury.balances import history
from treasury.balances.history import NOT_READ, AccountHeld, Held
from treasury.balances.snapshots import EVERY_ASSET
from treasury.models.amount import plain
from treasury.models.cells import inert
from treasury.web import refusals
from treasury.web.balances import Question
from treasury.web.htmx import Request
from treasury.web.sheets import taken
from treasury.web.transfers import refused_without_role

COLUMNS = (
    "connection",
    "venue",
    "environment",
    "account address",
    "title",
    "asset",
    "total",
    "movable",
    "read at",
    "asked instant",
    "note",
)


@require_safe
def export(request: Request) -> HttpResponse:
    if without_role := refused_without_role(request, "balances"):
        return without_role
    now = timezone.now()
    question = Question(request.GET, now=now)
    if not question.is_valid():
        sentence = " ".join(str(one) for errors in question.errors.values() for one in errors)
        return refusals.page(request, f"Nothing was exported. {sentence}", 422)
    at: datetime = question.cleaned_data["at"] or now
    lines = list(rows(at))
    return taken(
        request,
        written(lines),
        name=f"balances-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}.csv",
        action="balance.export",
        subject=f"balances:{moment(at)}",
        at=now,
        facts={"asked": at, "rows": len(lines)},
    )


def written(lines: list[list[str]]) -> bytes:
    """UTF-8 with the mark by which spreadsheets know it, and the line ends of RFC 4180."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(lines)
    return file.getvalue().encode("utf-8-sig")


def rows(at: datetime) -> Iterator[list[str]]:
    for held in history.held_at(at):
        if held.snapshot is None:
            yield row(held, note=f"not known: {NOT_READ}")
        for account in held.accounts:
            yield from account_rows(held, account)


def account_rows(held: Held, account: AccountHeld) -> Iterator[list[str]]:
    if account.numbers is None:
        yield row(held, account, note=f"not known: {account.why}")
    elif not account.numbers:
        yield row(held, account, note="nothing in it")
    for one in account.numbers or ():
        notes = []
        if one.total is None:
            others = "every other asset is " if one.asset == EVERY_ASSET else ""
            notes.append(f"{others}not readable: {one.problem}")
        elif one.stale:
            notes.append("stale")
        yield row(
            held,
            account,
            asset=one.asset,
            total=one.total,
            movable=one.movable,
            read_at=one.as_of,
            note="; ".join(notes),
        )


def row(
    held: Held,
    account: AccountHeld | None = None,
    *,
    asset: str = "",
    total: Decimal | None = None,
    movable: Decimal | None = None,
    read_at: datetime | None = None,
    note: str = "",
) -> list[str]:
    connection, snapshot = held.connection, held.snapshot
    return [
        inert(connection.name),
        inert(connection.venue),
        inert(connection.environment),
        inert(account.address if account else ""),
        inert(account.title if account else ""),
        inert(asset),
        "" if total is None else plain(total),
        "" if movable is None else plain(movable),
        moment(read_at or snapshot.at) if snapshot else "",
        moment(held.asked),
        inert(note),
    ]


def moment(at: datetime) -> str:
    """ "2026-11-03T12:00:00Z"."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
