"""Settings of the house that two people set while it runs. The newest row of a name counts; until there is one, what
the environment says.

``retention`` says for how many days snapshots of what we hold are kept: all of them, then one of each quarter of an
hour, then of each hour; one of each day stays for ever. ``webhook`` is where messages are sent beside e-mail. Both are
shown and logged, so neither may hold a secret: what signs a message stays in the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction

from treasury.controls import changes
from treasury.models import Change, HouseSetting, User
from treasury.models.turns import one_at_a_time
from treasury.notices import ways, webhook

SET = "house.set"
RETENTION, WEBHOOK = "retention", webhook.NAME
TITLES: Mapping[str, str] = {RETENTION: "How long snapshots are kept", WEBHOOK: "Where the webhook listens"}
DAYS_MOST = 36_500
LONGEST_ADDRESS = 300


class NotSet(ValueError):
    """The value is none that the setting can have. ``problems`` is {field: sentence}; nothing was written."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


class OtherValue(Exception):
    """Another value is proposed already, or came into force since. Nothing was changed."""


@dataclass(frozen=True)
class Ages:
    """In days, counted from now: all snapshots younger than the first are kept, and so on."""

    all_days: int
    quarter_hours_days: int
    hours_days: int


LABELS: Mapping[str, str] = {
    "all_days": "All of them, for days",
    "quarter_hours_days": "One of each quarter of an hour, until days",
    "hours_days": "One of each hour, until days",
}


def agreed(name: str) -> HouseSetting | None:
    """What two people set last; None where nobody has, and the environment says."""
    rows = HouseSetting.objects.filter(name=name).select_related("change__proposed_by", "change__decided_by")
    return rows.order_by("-pk").first()


def value_of(name: str) -> dict[str, Any]:
    """What counts now."""
    row = agreed(name)
    return dict(row.value) if row else from_environment(name)


def from_environment(name: str) -> dict[str, Any]:
    if name == WEBHOOK:
        return {"address": settings.WEBHOOK_URL}
    return {
        "all_days": settings.SNAPSHOTS_ALL_DAYS,
        "quarter_hours_days": settings.SNAPSHOTS_QUARTER_HOURS_DAYS,
        "hours_days": settings.SNAPSHOTS_HOURS_DAYS,
    }


def retention() -> Ages:
    return ages_of(value_of(RETENTION))


def ages_of(value: Mapping[str, Any]) -> Ages:
    return Ages(**{name: value[name] for name in LABELS})


def propose(*, name: str, value: Mapping[str, Any], reason: str, by: User, at: datetime) -> Change:
    """Propose another value; the proposal says what the value is now.

    Raises changes.MayNotChange, changes.NotSaid, NotSet, OtherValue.
    """
    with transaction.atomic():
        changes.insist_on_right(SET, by)
        wanted = checked(name, value)
        if wanted == value_of(name):
            raise NotSet({"": "Nothing was proposed: it is set so already."})
        subject = subject_of(name)
        others = changes.waiting().filter(kind=SET, subject=subject)
        if any(one.words["value"] != wanted or one.proposed_by_id != by.pk for one in others):
            raise OtherValue("Nothing was proposed. Another value is proposed already; it is decided on first.")
        words = {"name": name, "value": wanted, "was": shown(name)}
        return changes.propose(kind=SET, subject=subject, words=words, reason=reason, by=by, at=at)


def confirm(*, change_id: int, by: User, digest: str, at: datetime) -> HouseSetting:
    """Set it. Raises changes.MayNotChange, changes.NotWaiting, changes.OtherChange, NotSet, OtherValue."""
    with transaction.atomic():
        lock()
        change = changes.confirm(change_id=change_id, kind=SET, by=by, digest=digest, at=at)
        name = change.words["name"]
        if why := why_overtaken(change):
            raise OtherValue(f"Nothing was changed. {why}")
        value = checked(name, change.words["value"])  # what may be said may have changed since
        made = HouseSetting.objects.create(name=name, value=value, change=change, at=at)
        changes.entry(change, by=by, at=at, action=SET, facts={"value": value, "was": change.words["was"]})
        return made


def why_overtaken(change: Change) -> str:
    """Why nobody can confirm it now; empty when somebody can."""
    if shown(change.words["name"]) != change.words["was"]:
        return "It has been set otherwise since this was proposed; decline it, and propose it anew."
    return ""


def subject_of(name: str) -> str:
    return f"setting:{name}"


def shown(name: str) -> dict[str, Any]:
    """What counts now, as it may be shown and logged: of an address of the environment's only its host, since the rest
    of it may be secret."""
    row = agreed(name)
    if row is not None or name != WEBHOOK:
        return dict(row.value) if row else from_environment(name)
    parts = urlsplit(settings.WEBHOOK_URL)
    return {"address": f"{parts.scheme}://{parts.netloc}/…" if parts.netloc else ""}


def checked(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as it is stored. Raises NotSet."""
    if name == RETENTION:
        return asdict(checked_ages(value))
    if name == WEBHOOK:
        return {"address": checked_address(value.get("address"))}
    raise NotSet({"": "The house has no such setting."})


def checked_ages(value: Mapping[str, Any]) -> Ages:
    problems = {
        name: f"Give a whole number of days, from 1 to {DAYS_MOST}."
        for name in LABELS
        if not isinstance(value.get(name), int) or isinstance(value[name], bool) or not 1 <= value[name] <= DAYS_MOST
    }
    if problems:
        raise NotSet(problems)
    ages = ages_of(value)
    if ages.quarter_hours_days < ages.all_days:
        raise NotSet({"quarter_hours_days": "It cannot be fewer days than all of them are kept for."})
    if ages.hours_days < ages.quarter_hours_days:
        raise NotSet({"hours_days": "It cannot be fewer days than one of each quarter of an hour is kept until."})
    return ages


def checked_address(address: Any) -> str:
    if not isinstance(address, str) or len(address) > LONGEST_ADDRESS or not address.isprintable():
        raise NotSet({"address": f"Give an address of at most {LONGEST_ADDRESS} signs, or none."})
    url = address.strip()
    try:
        webhook.insist(url)
    except ways.Refused as refusal:
        raise NotSet({"address": str(refusal)}) from None
    if urlsplit(url).query:
        raise NotSet({"address": "It may hold no query: it is shown to everyone here, and stays in the log."})
    return url


def lock() -> None:
    """One at a time until the transaction ends: what it was is looked up first."""
    one_at_a_time("house")
