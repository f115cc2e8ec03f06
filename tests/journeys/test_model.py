"""Makers, checkers, workers, crashes, lost and late answers, stops, expiries and hours that pass, in any order.

After every step the venue's own books and ours are laid side by side. Nothing is flushed between examples: each has a
login, and so a connection, of its own and looks at no other.
"""

from __future__ import annotations

import hashlib
import json
import os
import time as clock
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from hypothesis import HealthCheck
from hypothesis import settings as trials
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import connectors.bybit
import connectors.core.http
from connectors.simulators.core import Practice, Simulator
from tests.house import SETUP, connect, person
from treasury import venues
from treasury.balances.moved import has_moved
from treasury.balances.refresh import NotRead, refresh
from treasury.controls import changes, stops
from treasury.controls.roles import CHECKERS, MAKERS, OPERATORS
from treasury.models import (
    IN_FLIGHT,
    NOTHING_MOVED,
    Attempt,
    AuditEntry,
    Kind,
    Outcome,
    State,
    StopOrder,
    Transfer,
    Verdict,
)
from treasury.transfers import (
    access,
    approve,
    attempts,
    cancel,
    contradictions,
    dispatch,
    draft,
    exposure,
    queries,
    resolve,
    settle,
    submit,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

FAULTS = (
    "answer_lost",
    "request_lost",
    "rate_limited",
    "banned",
    "error_before",
    "error_after",
    "garbage",
    "pending",
    "fails_later",
    "record_late",
)
REFUSED = (access.NotAllowed, access.NotNow, changes.NotWaiting, stops.NotStanding)
NOT_MOVED = (State.FAILED, State.REJECTED, State.CANCELLED, State.EXPIRED)
TAKES = (20, 400, 4000)  # seconds that a record is late, or that a transfer is pending
DIES = ("before the call", "after the call", "sleeps", "answers late")


class Hours:
    """One clock for the venue and for us, that can be put forward: hours pass in no time."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    passing, ns, seconds = Hours(), clock.time_ns, clock.time

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + passing.ahead

    monkeypatch.setattr("django.utils.timezone.now", passing.now)
    monkeypatch.setattr(connectors.bybit, "datetime", Shifted)
    monkeypatch.setattr(connectors.core.http, "datetime", Shifted)
    monkeypatch.setattr(clock, "time_ns", lambda: ns() + passing.ahead // timedelta(microseconds=1) * 1000)
    monkeypatch.setattr(clock, "time", lambda: seconds() + passing.ahead.total_seconds())
    return passing


class People:
    def __init__(self) -> None:
        self.maker, self.checker = person("maker", MAKERS), person("checker", CHECKERS)
        self.checker2 = person("checker2", CHECKERS)
        self.operators = person("admin", OPERATORS), person("admin2", OPERATORS)


def machine_for(venue: Simulator, hours: Hours, people: People) -> type[RuleBasedStateMachine]:
    class Treasury(RuleBasedStateMachine):
        """A treasury with one login, and everything that may happen to it."""

        def __init__(self) -> None:
            super().__init__()
            name = uuid4().hex
            login = Practice(
                title=name,
                credentials={"api_key": name, "api_secret": "model-secret-that-opens-nothing"},
                opening={"UNIFIED": {"USDT": "1000"}, "FUND": {"USDT": "1000"}},
            )
            venue.practice += (login,)
            self.login = venue.login_of(login.credentials)
            venue.ledger.open_with(self.login, login.opening)
            venue.clear()
            self.connection = connect(
                name=name[:20],
                venue="bybit",
                environment="mainnet",
                credentials=login.credentials,
                at=hours.now(),
            )
            self.unified = self.connection.accounts.get(address="UNIFIED")
            self.fund = self.connection.accounts.get(address="FUND")
            refresh(connection=self.connection, by=SETUP, at=hours.now())
            self.answers: list[tuple[Attempt, attempts.Answer]] = []
            self.sleeping: list[Attempt] = []

        # -- what there is ---------------------------------------------------------------------------------

        def transfers(self, *states: State) -> list[Transfer]:
            found = Transfer.objects.filter(connection=self.connection).order_by("pk")
            return list(found.filter(state__in=states) if states else found)

        def one(self, data: Any, *states: State) -> Transfer | None:
            found = self.transfers(*states)
            return data.draw(some.sampled_from(found)) if found else None

        # -- people ----------------------------------------------------------------------------------------

        @rule(amount=some.sampled_from(["1", "0.00000001", "250", "999"]), back=some.booleans())
        def a_maker_drafts_and_submits(self, amount: str, back: bool) -> None:
            self.submitted(amount, back)

        def submitted(self, amount: str, back: bool) -> Transfer:
            way = (self.fund, self.unified) if back else (self.unified, self.fund)
            words = draft.Words(*way, "USDT", amount, "because")
            made = draft.draft(words=words, maker=people.maker, at=hours.now())
            return submit.submit(reference=made.reference, maker=people.maker, at=hours.now())

        def approved(self, back: bool) -> Transfer:
            """All at once: most of what may go wrong comes later, and single steps seldom get there."""
            made = self.submitted("1", back)
            return approve.approve(
                reference=made.reference,
                checker=people.checker,
                digest=str(made.digest),
                round=made.round,
                factor="password",
                at=hours.now(),
            )

        @rule(data=some.data())
        def a_checker_approves(self, data: Any) -> None:
            if transfer := self.one(data, State.SUBMITTED):
                with suppress(*REFUSED):
                    approve.approve(
                        reference=transfer.reference,
                        checker=data.draw(some.sampled_from([people.checker, people.checker2])),
                        digest=str(transfer.digest),
                        round=transfer.round,
                        factor="password",
                        at=hours.now(),
                    )

        @rule(data=some.data())
        def it_is_cancelled(self, data: Any) -> None:
            if transfer := self.one(data):
                with suppress(*REFUSED):
                    cancel.cancel(reference=transfer.reference, by=people.maker, at=hours.now())

        @rule(scope=some.sampled_from(["connection", "account"]))
        def an_operator_stops(self, scope: str) -> None:
            what: dict[str, Any] = {"connection": self.connection} if scope == "connection" else {"account": self.fund}
            stops.stop(reason="drill", by=people.operators[0], at=hours.now(), **what)

        @rule()
        def two_operators_release(self) -> None:
            for order in self.orders():
                with suppress(*REFUSED):
                    asked = stops.propose_release(
                        stop_order_id=order.pk, by=people.operators[0], reason="over", at=hours.now()
                    )
                    stops.confirm_release(
                        change_id=asked.pk, by=people.operators[1], digest=asked.digest, at=hours.now()
                    )

        def orders(self) -> list[StopOrder]:
            return [
                order
                for order in stops.standing()
                if order.connection == self.connection or order.account in (self.unified, self.fund)
            ]

        @rule(data=some.data(), truthful=some.booleans())
        def two_people_resolve(self, data: Any, truthful: bool) -> None:
            if transfer := self.one(data, State.DISPATCHING, State.DISPATCHED):
                self.resolved(transfer, moved=bool(self.at_the_venue(transfer)) == truthful)

        def resolved(self, transfer: Transfer, *, moved: bool) -> None:
            with suppress(*REFUSED):
                asked = resolve.propose(
                    reference=transfer.reference,
                    moved=moved,
                    reason="so says the screen",
                    typed=transfer.reference,
                    by=people.operators[0],
                    at=hours.now(),
                )
                resolve.confirm(
                    change_id=asked.pk,
                    by=people.checker,
                    digest=asked.digest,
                    typed=transfer.reference,
                    at=hours.now(),
                )

        @rule()
        def two_people_close_contradictions_truthfully(self) -> None:
            for transfer in self.transfers():
                for found in transfer.contradictions.filter(closed_at=None):
                    asked = contradictions.propose_close(
                        contradiction_id=found.pk,
                        moved=bool(self.at_the_venue(transfer)),
                        reason="seen",
                        typed=transfer.reference,
                        by=people.operators[0],
                        at=hours.now(),
                        files=[],
                    )
                    contradictions.confirm_close(
                        change_id=asked.pk,
                        by=people.checker,
                        digest=asked.digest,
                        typed=transfer.reference,
                        at=hours.now(),
                    )

        # -- the venue, the wire, the clock ----------------------------------------------------------------

        @rule(
            kind=some.sampled_from(FAULTS),
            match=some.sampled_from(["send", "send", "read"]),
            seconds=some.sampled_from(TAKES),
        )
        def something_goes_wrong(self, kind: str, match: str, seconds: int) -> None:
            venue.fault(kind, match=match, seconds=seconds)

        @rule(
            kinds=some.sets(some.sampled_from(FAULTS), min_size=1, max_size=2),
            seconds=some.sampled_from(TAKES),
            back=some.booleans(),
        )
        def one_goes_wrong_as_it_is_sent(self, kinds: set[str], seconds: int, back: bool) -> None:
            transfer = self.approved(back)
            for kind in sorted(kinds):
                venue.fault(kind, match="send", seconds=seconds)
            dispatch.dispatch(reference=transfer.reference, now=hours.now)

        @rule(seconds=some.sampled_from(TAKES), back=some.booleans(), err=some.booleans())
        def an_answer_is_lost_and_its_record_is_late(self, seconds: int, back: bool, err: bool) -> None:
            """Two people may take the empty screen for the truth; the record that comes later says otherwise."""
            transfer = self.approved(back)
            for kind in ("answer_lost", "record_late"):
                venue.fault(kind, match="send", seconds=seconds)
            dispatch.dispatch(reference=transfer.reference, now=hours.now)
            if err:
                hours.ahead += timedelta(seconds=40)
                settle.settle(reference=transfer.reference, now=hours.now)
                self.resolved(transfer, moved=False)
                hours.ahead += timedelta(seconds=seconds)
                self.the_clock_ticks()

        @rule(seconds=some.sampled_from([1, 3, 10, 40, 400, 4000, 30_000, 90_000]))
        def time_passes(self, seconds: int) -> None:
            hours.ahead += timedelta(seconds=seconds)

        # -- workers ---------------------------------------------------------------------------------------

        @rule()
        def balances_are_read(self) -> None:
            with suppress(NotRead):
                refresh(connection=self.connection, at=hours.now())

        @rule()
        def the_clock_ticks(self) -> None:
            """What is due is sent, pursued and expired, as the ticks do."""
            for transfer in self.transfers(State.SUBMITTED, State.APPROVED):
                with suppress(*REFUSED):
                    cancel.expire(reference=transfer.reference, at=hours.now())
            for transfer in self.transfers(State.APPROVED):
                dispatch.dispatch(reference=transfer.reference, now=hours.now)
            for transfer in self.transfers():
                settle.settle(reference=transfer.reference, now=hours.now)

        @rule(seconds=some.sampled_from([3, 15, 60]))
        def the_clock_ticks_on(self, seconds: int) -> None:
            for _ in range(4):
                hours.ahead += timedelta(seconds=seconds)
                self.the_clock_ticks()

        @rule(data=some.data(), dies=some.sampled_from(DIES))
        def a_worker_dies_or_sleeps_in_a_send(self, data: Any, dies: str) -> None:
            if transfer := self.one(data, State.APPROVED):
                dispatch.read_source_if_old(reference=transfer.reference, now=hours.now)
                attempt = dispatch.claim(reference=transfer.reference, at=hours.now())
                self.left_in_the_middle(attempt, dies)

        @rule(data=some.data(), dies=some.sampled_from(DIES), again=some.sampled_from(DIES))
        def two_workers_take_the_same_one(self, data: Any, dies: str, again: str) -> None:
            """Its message came twice, and perhaps late: both claim it, whatever has become of it."""
            if transfer := self.one(data):
                dispatch.read_source_if_old(reference=transfer.reference, now=hours.now)
                for ends in (dies, again):
                    self.left_in_the_middle(dispatch.claim(reference=transfer.reference, at=hours.now()), ends)

        @rule(data=some.data(), dies=some.sampled_from(DIES))
        def a_worker_dies_or_sleeps_in_a_resend(self, data: Any, dies: str) -> None:
            if transfer := self.one(data, State.DISPATCHING):
                self.left_in_the_middle(settle.claim_resend(reference=transfer.reference, at=hours.now()), dies)

        def left_in_the_middle(self, attempt: Attempt | None, dies: str) -> None:
            if attempt is None:
                return
            if dies == "sleeps":
                self.sleeping.append(attempt)
            elif dies != "before the call":
                answer = attempts.call(attempt)
                if dies == "answers late":
                    self.answers.append((attempt, answer))

        @precondition(lambda self: self.sleeping)
        @rule()
        def a_sleeping_worker_wakes_and_calls(self) -> None:
            attempt = self.sleeping.pop(0)
            self.answers.append((attempt, attempts.call(attempt)))

        @precondition(lambda self: self.answers)
        @rule()
        def a_late_answer_is_noted(self) -> None:
            attempt, answer = self.answers.pop(0)
            attempts.conclude(attempt_id=attempt.pk, answer=answer, now=hours.now)

        # -- what must always be so ------------------------------------------------------------------------

        def at_the_venue(self, transfer: Transfer) -> list[dict[str, Any]]:
            """What the venue did, or has taken and will do."""
            mine = [one for one in venue.ledger.transfers() if one["login"] == self.login]
            return [
                one for one in mine if one["key"] == str(transfer.key) and "SUCCESS" in (one["status"], one["ends"])
            ]

        @invariant()
        def every_effect_is_of_an_approved_transfer_and_there_is_at_most_one(self) -> None:
            effects = [one for one in venue.effects() if one["login"] == self.login]
            assert all(count == 1 for count in Counter(one["key"] for one in effects).values()), effects
            for effect in effects:
                transfer = Transfer.objects.get(key=effect["key"], connection=self.connection)
                words = json.loads(str(transfer.instruction))
                said = (words["source"], words["destination"], words["asset"], Decimal(words["amount"]))
                did = (effect["source"], effect["destination"], effect["asset"], Decimal(effect["amount"]))
                assert said == did
                digest = hashlib.sha256(str(transfer.instruction).encode()).hexdigest()
                assert transfer.decisions.filter(verdict=Verdict.APPROVE, digest=digest).exists()

        @invariant()
        def nothing_is_called_again_before_the_last_call_is_known_or_searched_for(self) -> None:
            """Read off the rows alone, and not asked of the verbs: a venue that forgets keys would pay twice."""
            declared = venues.declared("bybit")
            for transfer in self.transfers():
                made = list(transfer.attempts.order_by("number"))
                for number, again in enumerate(made[1:], start=1):
                    before = made[:number]
                    unproven = [one for one in before if not is_proven_harmless(one, again.claimed_at)]
                    if not unproven:
                        continue
                    over = before[-1].send_before + declared.signed_window
                    searches = transfer.look_ups.filter(at__lte=again.claimed_at)
                    newest = list(searches.filter(at__gt=over).order_by("-at", "-id")[:3])
                    assert again.kind == Kind.RESEND
                    assert len(unproven) < 3
                    assert over < again.claimed_at < made[0].claimed_at + declared.resend.until
                    assert len(newest) == 3
                    assert all(one.searched for one in newest)
                    assert not searches.filter(found=True).exists()

        @invariant()
        def what_ended_ended_as_the_venue_says_unless_people_said_otherwise(self) -> None:
            for transfer in self.transfers(State.SETTLED, *NOT_MOVED):
                if hasattr(transfer, "resolution") or transfer.contradictions.exists():
                    continue
                assert (transfer.state == State.SETTLED) == bool(self.at_the_venue(transfer)), transfer.outcome

        @invariant()
        def no_state_is_contradicted_by_its_evidence_without_an_open_contradiction(self) -> None:
            for transfer in self.transfers(State.SETTLED, *NOT_MOVED):
                if transfer.contradictions.filter(closed_at=None).exists():
                    continue
                later = transfer.look_ups.filter(at__gt=transfer.changed_at)
                if has_moved(transfer):
                    assert not later.filter(state="FAILED").exists()
                else:
                    assert not later.filter(state__in=["DONE", "PENDING"]).exists()
                    assert not transfer.attempts.filter(outcome=Outcome.SETTLED).exists()

        @invariant()
        def reservations_add_up(self) -> None:
            """Each unit that is approved, in flight or in doubt is counted once, as reserved or as at risk."""
            at = hours.now()
            shown = exposure.read(at).held
            for account in (self.unified, self.fund):
                found = shown.get((account.pk, "USDT"))
                mine = [one for one in self.transfers() if one.source_id == account.pk]
                open_ = [
                    one.amount
                    for one in mine
                    if one.state in (State.APPROVED, *IN_FLIGHT) or queries.standing(one, at).key == "contradicted"
                ]
                counted = (found.reserved + found.at_risk) if found else Decimal(0)
                assert counted == sum(open_, Decimal(0))

        @invariant()
        def the_log_explains_every_state(self) -> None:
            for transfer in self.transfers():
                entries = AuditEntry.objects.filter(subject=transfer.subject, result="done").order_by("id")
                steps = [(one.facts.get("from"), one.facts["to"]) for one in entries if "to" in one.facts]
                assert steps[0] == (None, "DRAFT")
                assert all(before[1] == after[0] for before, after in pairwise(steps))
                assert steps[-1][1] == transfer.state

    return Treasury


def is_proven_harmless(attempt: Attempt, at: datetime) -> bool:
    """Whether it was known by then that this call moved nothing."""
    known = attempt.concluded_at is not None and attempt.concluded_at <= at
    return known and attempt.outcome in NOTHING_MOVED


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refused connections and cut answers must not cost seconds; the venue's rate limits are not what is tried."""
    declared = venues.declared
    monkeypatch.setattr(venues, "declared", lambda venue: replace(declared(venue), limits={}))
    monkeypatch.setattr(settings, "DOUBT_TRIP_COUNT", 4)
    return


def test_money_is_never_lost_and_never_sent_twice_whatever_happens(
    db: None, venue: Simulator, hours: Hours, quick: None
) -> None:
    runs = int(os.environ.get("MODEL_RUNS", "12"))
    run_state_machine_as_test(
        machine_for(venue, hours, People()),
        settings=trials(
            max_examples=runs,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
