"""What the policy says of a transfer: asked when a round begins, kept with all that it was asked, and replayed.

What is not told by the stored circumstances is not asked: later versions, prices and sums change no past answer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property, reduce
from operator import or_

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from treasury import venues
from treasury.audit.record import canonical
from treasury.balances import valuation
from treasury.balances.moved import with_ruling
from treasury.controls import policy, rulebook, rules
from treasury.models import Account, Assessment, Demand, Policy, Price, State, Transfer, User
from treasury.models.amount import plain

log = logging.getLogger(__name__)

# What never left, and never will, unless evidence or two people say otherwise.
MOVED_NOTHING = (State.DRAFT, State.REJECTED, State.CANCELLED, State.EXPIRED, State.FAILED)

UNANSWERED = "The policy could not be evaluated, and what cannot be evaluated is denied."


def begin_round(transfer: Transfer, at: datetime) -> rules.Answer:
    """Ask the policy, and write its answer and its demands for the round that is about to begin.

    Of the version in force for a first round, and of that same version ever after. Raises policy.NoPolicy,
    policy.Denied.
    """
    policy.lock()
    earlier = transfer.assessments.select_related("policy").first()
    version = earlier.policy if earlier else policy.in_force()
    of, answer = asked_of(version, transfer, at)
    if not answer.allowed:
        raise policy.Denied(answer.sentence)
    Assessment.objects.create(
        transfer=transfer,
        round=transfer.round + 1,
        policy=version,
        at=at,
        circumstances=canonical(asdict(of)),
        answer=canonical(answer.told()),
    )
    Demand.objects.bulk_create(
        Demand(transfer=transfer, round=transfer.round + 1, group=group, count=count)
        for group, count in answer.demands.items()
    )
    return answer


def asked_of(version: Policy, transfer: Transfer, at: datetime) -> tuple[rules.Circumstances, rules.Answer]:
    """What it was asked, and what it answers. Raises policy.Denied for any error, of a price or a sum as well."""
    try:
        with transaction.atomic():  # a savepoint: an error of the database must not end what the caller has begun
            book = rulebook.read(version.text)
            of = Known(book, at).circumstances_of(transfer)
            return of, rules.evaluate(book, of)
    except Exception:  # whatever it is: what cannot be evaluated is not allowed
        log.exception("%s could not be evaluated for %s", version, transfer.reference)
        raise policy.Denied(f"The {version} could not be evaluated, and what cannot be evaluated is denied.") from None


def would_ask(transfer: Transfer, at: datetime, version: Policy | None = None) -> rules.Answer:
    """What the policy in force, or another version, would answer if the transfer were submitted now. Writes nothing.

    Raises policy.NoPolicy. For many transfers of one page, ask one ``asking``.
    """
    return asking(at, version)(transfer)


def asking(at: datetime, version: Policy | None = None) -> Callable[[Transfer], rules.Answer]:
    """``would_ask`` for many transfers: version, prices and sums are read once. A text that cannot be read denies
    everything. Raises policy.NoPolicy, and nothing once it is asked."""
    version = version or policy.in_force()
    try:
        return Known(rulebook.read(version.text), at).ask
    except Exception:  # whatever it is: what cannot be read is not allowed
        log.exception("%s could not be read", version)
        return lambda transfer: rules.denied(UNANSWERED, ())


def replay(assessment: Assessment) -> rules.Answer:
    """Reckon a past answer again, under its own version and in its own circumstances. What cannot be read is denied."""
    try:
        of = rules.Circumstances(**json.loads(assessment.circumstances))
        return rules.evaluate(rulebook.read(assessment.policy.text), of)
    except Exception:  # whatever it is: the answer that is kept does not hold then
        log.exception("assessment %s could not be reckoned again", assessment.pk)
        return rules.denied(UNANSWERED, ())


def holds(assessment: Assessment) -> bool:
    """Whether the answer reckoned again is the one on record, letter for letter."""
    return canonical(replay(assessment).told()) == assessment.answer


def demands_hold(assessment: Assessment) -> bool:
    """Whether it decides as it is on record: by which rule, and who must approve. The sentences that a release words
    anew are no reason to stop what was approved."""
    recorded, again = json.loads(assessment.answer), replay(assessment).told()
    return all(recorded[name] == again[name] for name in ("allowed", "decided_by", "demands"))


# -- what it is asked ---------------------------------------------------------------------------------------------

Row = tuple[int, str, Decimal]  # a transfer's number, its asset and its amount


class Known:
    """A rulebook at one moment, with prices and sums that are read once however many transfers it is asked about."""

    def __init__(self, book: rulebook.Rulebook, at: datetime) -> None:
        self.book, self.at = book, at
        self._alike: dict[tuple[object, ...], list[Row]] = {}
        self._sign_ins: dict[str, list[str]] = {}

    @cached_property
    def prices(self) -> Mapping[str, Price]:
        return valuation.prices_at(self.at)

    def ask(self, transfer: Transfer) -> rules.Answer:
        """For a page, which is not to fail: an error of a price or a sum is a denial here as well."""
        try:
            return rules.evaluate(self.book, self.circumstances_of(transfer))
        except Exception:  # whatever it is: what cannot be evaluated is not allowed
            log.exception("the policy could not be evaluated for %s", transfer.reference or "a line of a plan")
            return rules.denied(UNANSWERED, ())

    def circumstances_of(self, transfer: Transfer) -> rules.Circumstances:
        connection = transfer.connection
        touched = (connection, transfer.source.connection, transfer.destination.connection)
        value = self.value_of(transfer.asset, transfer.amount)
        return rules.Circumstances(
            venue=connection.venue,
            connection=connection.name,
            source=name_of(transfer.source),
            destination=name_of(transfer.destination),
            asset=transfer.asset,
            amount=plain(transfer.amount),
            value=None if value is None else plain(value),
            currency=self.book.currency,
            origin=origin_of(transfer),
            maker=transfer.maker.get_username(),
            also=self.also(transfer.maker),
            volumes={one.key: self.volume(transfer, one) for one in self.book.volumes},
            venues=list(dict.fromkeys(one.venue for one in touched)),
            connections=list(dict.fromkeys(one.name for one in touched)),
        )

    def also(self, maker: User) -> list[str]:
        """The person's other sign-ins, where a rule asks who drafted it."""
        if not any("makers" in rule.lists for rule in self.book.rules):
            return []
        if maker.person not in self._sign_ins:
            theirs = User.objects.filter(person=maker.person).order_by("username")
            self._sign_ins[maker.person] = list(theirs.values_list("username", flat=True))
        return [one for one in self._sign_ins[maker.person] if one != maker.get_username()]

    def value_of(self, asset: str, amount: Decimal) -> Decimal | None:
        """Worth in the policy's currency; None where that is not known, or the price is too old."""
        if self.book.currency != settings.REPORTING_CURRENCY:
            return None
        found = valuation.worth(asset, amount, self.at, self.prices)
        return None if found is None or found.stale else found.value

    def volume(self, transfer: Transfer, asked: rulebook.Volume) -> str | None:
        """The sum that a rule asks for, this transfer included; None where a part of it has no known value. Of two
        connections or venues that it counts for, the larger."""
        sums = [self.sum_within(transfer, asked, scope) for scope in scopes_of(transfer, asked.of)]
        known = [one for one in sums if one is not None]
        return plain(max(known)) if len(known) == len(sums) else None

    def sum_within(self, transfer: Transfer, asked: rulebook.Volume, scope: Scope) -> Decimal | None:
        others = [row for row in self.alike(scope, asked) if row[0] != transfer.pk]
        if asked.unit == rulebook.ASSET:
            same = [amount for _, asset, amount in others if asset.upper() == transfer.asset.upper()]
            return summed([*same, transfer.amount])
        values = [self.value_of(asset, amount) for _, asset, amount in others]
        values.append(self.value_of(transfer.asset, transfer.amount))
        known = [value for value in values if value is not None]
        return summed(known) if len(known) == len(values) else None

    def alike(self, scope: Scope, asked: rulebook.Volume) -> list[Row]:
        """The transfers submitted within the hours that moved money or may yet, whatever rule they matched."""
        key = (asked.of, asked.hours, scope.whose)
        if key not in self._alike:
            since = self.at - timedelta(hours=asked.hours)
            submitted = Transfer.objects.filter(scope.within(), submitted_at__gt=since)
            counted = with_ruling(submitted).filter(~Q(state__in=MOVED_NOTHING) | Q(ruled=True) | Q(contradicted=True))
            self._alike[key] = list(counted.values_list("pk", "asset", "amount"))
        return self._alike[key]


@dataclass(frozen=True)
class Scope:
    """Whose transfers a sum or a limit counts: of any of these columns, the one that is equal to ``whose``."""

    whose: object
    columns: tuple[str, ...]
    title: str = ""

    def within(self, path: str = "") -> Q:
        """``path`` leads to the transfers."""
        return reduce(or_, (Q(**{f"{path}{column}": self.whose}) for column in self.columns), Q())


def scopes_of(transfer: Transfer, of: str) -> list[Scope]:
    """What it counts for, each by itself. Of a connection or venue: of the one that carries it, and of the one whose
    money it is, which is another where people move it by hand."""
    carrier, owner = transfer.connection, transfer.source.connection
    if of == "connection":
        columns = ("connection", "source__connection")
        by_itself = [Scope(owner.pk, columns, f"out of {owner.name}")] if owner != carrier else []
        return [Scope(carrier.pk, columns, f"over {carrier.name}"), *by_itself]
    if of == "venue":
        columns, title = ("connection__venue", "source__connection__venue"), venues.declared(owner.venue).title
        by_itself = [Scope(owner.venue, columns, f"out of {title}")] if owner.venue != carrier.venue else []
        return [Scope(carrier.venue, columns, f"over {venues.declared(carrier.venue).title}"), *by_itself]
    if of == "maker":
        return [Scope(transfer.maker.person, ("maker__person",), f"for {transfer.maker}")]
    if of == "asset":
        return [Scope(transfer.asset.upper(), ("asset__iexact",))]
    return [Scope(None, (), "by the house")]


def summed(amounts: Iterable[Decimal]) -> Decimal:
    """To the last unit, however long the amounts are."""
    return reduce(valuation.EXACT.add, amounts, Decimal(0))


def name_of(account: Account) -> str:
    """How a policy names an account: by what never changes, ``Main desk · FUND``."""
    return f"{account.connection.name} · {account.address}"


def origin_of(transfer: Transfer) -> str:
    """A line of a plan whose amount somebody changed is by hand: nothing reckoned that amount."""
    line = transfer.planned
    return "plan" if line is not None and line.amount == transfer.amount else "hand"
