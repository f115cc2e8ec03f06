"""Bands: where each account should stand, proposed by one and confirmed by another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from treasury import venues
from treasury.controls import changes
from treasury.controls.wanted import Terms, Wanted, read, terms_from, terms_of
from treasury.models import Account, Balance, Band, Change, Connection, User
from treasury.models.turns import one_at_a_time

SET = "bands.set"
ALL = "bands:all"
CODE_LENGTH = 40  # what the column of an asset holds

Key = tuple[int, str]  # an account's number, and an asset
Problems = Mapping[tuple[int, str], str]


class NotBands(Exception):
    """The words make no bands. ``problems`` is {(which of them, from 0; column): sentence}, where -1 is all of them and
    "" the whole row; nothing was written."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


class Outdated(Exception):
    """What is proposed does not follow on what is there now. Nothing was changed; the proposal still waits."""


def current() -> QuerySet[Band]:
    """The bands in force: the newest of each account and asset, unless that removed it."""
    newest = Band.objects.order_by("account_id", "asset", "-id").distinct("account_id", "asset")
    found = Band.objects.filter(pk__in=newest.values("pk"), removed=False)
    return found.select_related("account__connection").order_by(
        "account__connection__name", "asset", "account__address"
    )


def band_of(account: Account, asset: str) -> Band | None:
    """The band in force of one account and asset."""
    newest = Band.objects.filter(account=account, asset=asset).order_by("-id").first()
    return None if newest is None or newest.removed else newest


def propose(*, bands: Sequence[Wanted], reason: str, by: User, at: datetime) -> Change:
    """Propose bands; what would change nothing is left out. The same words posted twice are one proposal.

    Raises changes.MayNotChange, changes.NotSaid, NotBands.
    """
    with transaction.atomic():
        insist_on_right(by)
        lock()
        rows = rows_of(bands)
        if not rows:
            raise NotBands({(-1, ""): "Nothing was proposed: every band is as you want it already."})
        words, about = {"bands": rows}, subject_of(rows)
        insist_on_none_waiting(rows, changes.digest_of(SET, about, words, reason.strip()), by)
        return changes.propose(kind=SET, subject=about, words=words, reason=reason, by=by, at=at)


def rows_of(bands: Sequence[Wanted]) -> list[dict[str, Any]]:
    """What would change, as a proposal says it: each row exactly as the database compares it with the band that is
    written, with what it was before, and the names of its account for people. Raises NotBands."""
    now = in_force({one.account.pk for one in bands})
    codes = assets_known({one.account.connection_id for one in bands})
    problems: dict[tuple[int, str], str] = {}
    seen: set[Key] = set()
    rows = []
    for number, one in enumerate(bands):
        terms, wrong = terms_wanted(one, now.get(one.key), codes)
        if one.key in seen:
            wrong = {**wrong, "account": f"{one.account.title} is there twice for {one.asset}."}
        seen.add(one.key)
        problems |= {(number, column): sentence for column, sentence in wrong.items()}
        if terms is not None and not wrong and (row := row_of(one, terms, now.get(one.key))):
            rows.append(row)
    if problems:
        raise NotBands(problems)
    return sorted(rows, key=lambda row: (row["connection"], row["asset"], row["address"]))


def terms_wanted(
    one: Wanted, band: Band | None, codes: Mapping[int, frozenset[str]]
) -> tuple[Terms | None, dict[str, str]]:
    """The terms of the row, or None and {column: sentence}. A band that is removed keeps its last ones."""
    if one.removed:
        if band is None:
            return None, {"removed": f"{one.account.title} has no band for {one.asset} that could be removed."}
        return terms_of(band), {}
    terms, wrong = read(one)
    if refusal := why_not_asset(one.account, one.asset, codes):
        wrong = {"asset": refusal, **wrong}
    return terms, wrong


def row_of(one: Wanted, terms: Terms, band: Band | None) -> dict[str, Any] | None:
    """None when it would change nothing."""
    was = terms_of(band).words() if band is not None else None
    if not one.removed and terms.words() == was:
        return None
    names = {"connection": one.account.connection.name, "address": one.account.address, "title": one.account.title}
    return {"account": one.account.pk, "asset": one.asset, "removed": one.removed, **terms.words(), **names, "was": was}


def why_not_asset(account: Account, asset: str, codes: Mapping[int, frozenset[str]]) -> str | None:
    """Why no account of the connection can have a band for the asset: it is none that its venue reports there."""
    known = codes.get(account.connection_id, frozenset())
    if asset in known:
        return None
    if not asset or len(asset) > CODE_LENGTH or not asset.isprintable():
        return f"Enter the asset as the venue writes it, with at most {CODE_LENGTH} letters."
    if meant := next((code for code in sorted(known) if code.casefold() == asset.casefold()), None):
        return f"{venues.declared(account.connection.venue).title} writes it {meant}."
    return f"No account of {account.connection} reports an asset called {asset}."


def assets_known(connections: Iterable[int]) -> dict[int, frozenset[str]]:
    """The assets that the accounts of these connections report, by the connection's number."""
    found: dict[int, set[str]] = {number: set() for number in connections}
    reported = Balance.objects.filter(account__connection__in=found).order_by()
    for number, asset in reported.values_list("account__connection", "asset").distinct():
        found[number].add(asset)
    return {number: frozenset(codes) for number, codes in found.items()}


def in_force(accounts: Iterable[int]) -> dict[Key, Band]:
    """The bands in force of these accounts."""
    found = current().filter(account__in=list(accounts))
    return {(band.account_id, band.asset): band for band in found}


def insist_on_none_waiting(rows: Sequence[Mapping[str, Any]], digest: str, by: User) -> None:
    """One at a time for an account and asset: two that wait could undo each other. A double click passes."""
    keys = {(row["account"], row["asset"]) for row in rows}
    others = changes.waiting().filter(kind=SET).exclude(digest=digest, proposed_by=by)
    for row in (row for change in others for row in change.words["bands"]):
        if (row["account"], row["asset"]) in keys:
            sentence = (
                f"Nothing was proposed. Another proposal for {row['title']} and {row['asset']} of {row['connection']} "
                "waits; it is decided on or withdrawn first."
            )
            raise NotBands({(-1, ""): sentence})


def confirm(*, change_id: int, by: User, digest: str, at: datetime) -> list[Band]:
    """Apply it: a new version of each band.

    Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, Outdated.
    """
    with transaction.atomic():
        lock()
        change = changes.confirm(change_id=change_id, kind=SET, by=by, digest=digest, at=at)
        if refusal := why_outdated(change):
            raise Outdated(f"Nothing was changed. {refusal}")
        rows = change.words["bands"]
        made = Band.objects.bulk_create(
            Band(
                account_id=row["account"],
                asset=row["asset"],
                removed=row["removed"],
                change=change,
                at=at,
                **vars(terms_from(row)),
            )
            for row in rows
        )
        changes.entry(change, by=by, at=at, action=SET, facts={"bands": [told(row) for row in rows]})
        return made


def why_outdated(change: Change) -> str | None:
    """Why nobody can confirm it as things are; None when somebody can. Everything is checked once more."""
    rows = change.words["bands"]
    accounts = Account.objects.select_related("connection").in_bulk([row["account"] for row in rows])
    now = in_force(accounts)
    wanted = []
    for row in rows:
        account, band = accounts.get(row["account"]), now.get((row["account"], row["asset"]))
        if account is None:
            return f"There is no account {row['title']} any more."
        if (terms_of(band).words() if band is not None else None) != row["was"]:
            return f"The band of {row['title']} for {row['asset']} is not what it was when this was proposed."
        typed = {name: value or "" for name, value in terms_from(row).words().items()}
        wanted.append(Wanted(account=account, asset=row["asset"], removed=row["removed"], **typed))
    try:
        rows_of(wanted)
    except NotBands as wrong:
        return str(wrong)
    return None


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for the log: whose band it is, what it was, and what it is."""
    becomes = None if row["removed"] else terms_from(row).words()
    return {
        "account": f"{row['connection']} · {row['address']}",
        "asset": row["asset"],
        "was": row["was"],
        "is": becomes,
    }


def subject_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """The log's word: the bands of one connection, or of several."""
    names = {row["connection"] for row in rows}
    return f"bands:{names.pop()}" if len(names) == 1 else ALL


def subject(connection: Connection | None) -> str:
    return f"bands:{connection.name}" if connection else ALL


def proposals() -> QuerySet[Change]:
    """What is proposed of bands and waits, the oldest on top."""
    return changes.waiting().filter(kind=SET).order_by("id")


def insist_on_right(by: User) -> None:
    if refusal := changes.why_not_propose(SET, by):
        raise changes.MayNotChange(refusal)


def lock() -> None:
    """One of these verbs at a time, until the transaction ends: what is in force and what waits is looked up first."""
    one_at_a_time("bands")
