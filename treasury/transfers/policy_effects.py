"""What a version of the policy that is not in force would ask of what is pending, and whether people could answer it.

A transfer keeps the version that it was submitted under, so a next one takes nothing from what is pending; what it
would be asked today is said all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from django.db.models import QuerySet

from treasury.controls import policy, rulebook, rules
from treasury.models import Account, Connection, Demand, Policy, State, Transfer, User
from treasury.models.amount import counted
from treasury.transfers import assess, limits
from treasury.transfers.quorums import out_of_reach, standing

PENDING = (State.SUBMITTED, State.APPROVED)  # asked for, and not yet sent
HELD_LOOKED_AT = 50  # approved ones, each of which is asked about by itself
NAMED = 8  # references in a sentence
LOOKED_AT = 500  # pending transfers, the oldest: a page is not to be kept waiting by more


def named(references: Iterable[str]) -> str:
    """ "TR-000001, TR-000002 and 5 more"."""
    listed = list(references)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return f"{', '.join(listed[:NAMED])}{more}"


def pending() -> QuerySet[Transfer]:
    """What is asked for and not yet sent, with all that a policy asks about, the oldest on top."""
    found = Transfer.objects.filter(state__in=PENDING).order_by("pk")
    return found.select_related("connection", "source__connection", "destination__connection", "maker", "planned")


def of_policy(text: str, at: datetime) -> list[str]:
    """What a policy of this text would ask of what is pending, and which of its quorums nobody could reach."""
    book = rulebook.read(text)
    return [
        *of_pending(book, at),
        *of_drafts(book, at),
        *held_by_limits(book, at),
        *out_of_reach(book, standing()),
        *unknown_names(book),
    ]


def of_pending(book: rulebook.Rulebook, at: datetime) -> list[str]:
    transfers = list(pending()[:LOOKED_AT])
    if not transfers:
        return ["No transfer is pending: nothing that was submitted is touched."]
    asked = demands_of(transfers)
    known = assess.Known(book, at)
    ways: dict[str, list[str]] = {}
    for one in transfers:
        ways.setdefault(told_of(known.ask(one), asked.get(one.pk, {})), []).append(one.reference)
    same = len(ways.pop("", []))
    kept = (
        f"{counted(len(transfers), 'pending transfer')} "
        f"{'stays' if len(transfers) == 1 else 'stay'} under {versions_of(transfers)}, with what it asks for."
    )
    if not ways:
        return [f"{kept} Submitted under this, {'it' if same == 1 else 'each'} would need the same approvals."]
    said = [f"{len(found)} {way}: {named(found)}." for way, found in sorted(ways.items(), key=lambda one: -len(one[1]))]
    return [f"{kept} Submitted under this:", *said]


def told_of(answer: rules.Answer, before: Mapping[str, int]) -> str:
    """What would be asked otherwise, "" where nothing would be."""
    if not answer.allowed:
        return "could not be submitted"
    if dict(answer.demands) == dict(before):
        return ""
    groups = {*answer.demands, *before}
    more = sum(max(answer.demands.get(one, 0) - before.get(one, 0), 0) for one in groups)
    fewer = sum(max(before.get(one, 0) - answer.demands.get(one, 0), 0) for one in groups)
    if more and fewer:
        return f"would need other approvals, {rules.in_words(answer.demands)}"
    if more:
        return f"would need {'one' if more == 1 else more} more approval{'' if more == 1 else 's'}"
    return f"would need {'one' if fewer == 1 else fewer} approval{'' if fewer == 1 else 's'} less"


def demands_of(transfers: Iterable[Transfer]) -> dict[int, dict[str, int]]:
    """What each one's round asks for now."""
    rounds = {one.pk: one.round for one in transfers}
    found: dict[int, dict[str, int]] = {}
    for demand in Demand.objects.filter(transfer__in=list(rounds)):
        if demand.round == rounds[demand.transfer_id]:
            found.setdefault(demand.transfer_id, {})[demand.group] = demand.count
    return found


def versions_of(transfers: Iterable[Transfer]) -> str:
    """ "version 3", "versions 2 and 3"."""
    numbers = Policy.objects.filter(assessments__transfer__in=[one.pk for one in transfers])
    listed = [str(one) for one in numbers.order_by("number").values_list("number", flat=True).distinct()]
    return f"version{'' if len(listed) == 1 else 's'} {' and '.join(listed)}"


def of_drafts(book: rulebook.Rulebook, at: datetime) -> list[str]:
    """How many drafts could not be submitted; whose they are and what they say is their makers' own."""
    known = assess.Known(book, at)
    drafts = Transfer.objects.filter(state=State.DRAFT).order_by("pk")
    drafts = drafts.select_related("connection", "source__connection", "destination__connection", "maker", "planned")
    denied = sum(not known.ask(one).allowed for one in drafts[:LOOKED_AT])
    return [f"{counted(denied, 'draft')} could not be submitted any more."] if denied else []


def held_by_limits(book: rulebook.Rulebook, at: datetime) -> list[str]:
    """Approved transfers that these limits would hold back, and those in force do not: limits count as they are now."""
    now = policy.book_in_force()
    if book.limits == now.limits:
        return []
    waiting = pending().filter(state=State.APPROVED)[:HELD_LOOKED_AT]
    held = [one.reference for one in waiting if passes(one, book, at) and not passes(one, now, at)]
    if not held:
        return []
    many = counted(len(held), "approved transfer")
    return [f"{many} would be held back by a limit until it frees: {named(held)}."]


def passes(transfer: Transfer, book: rulebook.Rulebook, at: datetime) -> bool:
    return limits.reached(transfer, book, at, waiting=False) is not None


def unknown_names(book: rulebook.Rulebook) -> list[str]:
    """What the rules name and the house does not have: such a rule decides of nothing yet, or was misspelt."""
    connections = Connection.objects.values_list("name", "venue")
    known = {
        "connections": {name.upper() for name, _ in connections},
        "venues": {venue.upper() for _, venue in connections},
        "makers": {name.upper() for name in User.objects.values_list("username", flat=True)},
    }
    known["sources"] = known["destinations"] = {
        assess.name_of(one).upper() for one in Account.objects.select_related("connection")
    }
    return [sentence for rule in book.rules for sentence in unknown_in(rule, known)]


def unknown_in(rule: rulebook.Rule, known: Mapping[str, set[str]]) -> Iterator[str]:
    for kind, noun in NOUNS.items():
        for name in rule.lists.get(kind, ()):
            if name.upper() not in known[kind]:
                yield f"“{rule.name}” names the {noun} {name}, which there is not."


NOUNS: Mapping[str, str] = {
    "venues": "venue",
    "connections": "connection",
    "sources": "source",
    "destinations": "destination",
    "makers": "maker",
}
