"""Paging by key, newest first: page two stays page two while new rows come in on top."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet
from django.http import QueryDict

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """``older`` and ``newest`` are query strings that keep the filters; empty when there is nowhere to go."""

    rows: list[Row]
    older: str
    newest: str


def page_of(rows: QuerySet[Row], *, before: int | None, size: int, address: QueryDict) -> Page[Row]:
    found = list((rows.filter(pk__lt=before) if before else rows)[: size + 1])
    more = len(found) > size
    found = found[:size]
    return Page(
        rows=found,
        older=moved(address, str(found[-1].pk)) if more else "",
        newest=moved(address, None) if before else "",
    )


def moved(address: QueryDict, before: str | None) -> str:
    """The same filters, another place in the list: "?state=draft&before=17"."""
    there = address.copy()
    there.pop("before", None)
    for name in [name for name in there if not there[name]]:
        del there[name]
    if before:
        there["before"] = before
    return f"?{there.urlencode()}"
