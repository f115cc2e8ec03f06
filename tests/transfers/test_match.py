"""Each transfer that moved beside what the venue says: its record, else both balances, else why nothing fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from django.conf import settings
from django.utils import timezone

from connectors.core.errors import Uncertain
from connectors.simulators.core import Simulator, serve
from tests.house import connect
from tests.transfers import hands
from treasury import tasks, venues
from treasury.balances import typed
from treasury.balances.moved import has_moved
from treasury.balances.refresh import refresh
from treasury.models import Account, AuditEntry, Basis, CallWindow, Connection, Match, State, Transfer, User
from treasury.transfers import (
    approve,
    attempts,
    contradictions,
    dispatch,
    draft,
    match,
    resolve,
    settle,
    submit,
)

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
Found = settle.Found


def later(seconds: float = 3) -> Callable[[], datetime]:
    return lambda: timezone.now() + timedelta(seconds=seconds)


def compared(transfer: Transfer, seconds: float = 3) -> Match | None:
    return match.match(reference=transfer.reference, now=later(seconds))


def entries(transfer: Transfer) -> list[dict[str, object]]:
    found = AuditEntry.objects.filter(action="transfer.match", subject=transfer.subject).order_by("id")
    return [entry.facts for entry in found]


def look_ups(venue: Simulator) -> int:
    return len(venue.requests("query-inter-transfer-list"))


@pytest.fixture
def settled(approved: Make) -> Transfer:
    """Bybit's first answer settled it; nobody has looked it up."""
    transfer = approved(amount="12.5")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    assert not transfer.look_ups.exists()
    return transfer


@pytest.fixture
def unseen(approved: Make, venue: Simulator) -> Transfer:
    """Settled by the first answer, and the venue's records do not show it."""
    venue.fault("record_late", match="send", seconds=1_000_000)
    transfer = approved(amount="12.5")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    return transfer


# -- by the venue's record -----------------------------------------------------------------------------------


def test_one_further_look_up_matches_what_the_first_answer_settled(settled: Transfer, venue: Simulator) -> None:
    assert compared(settled, 0) is None, "a record may show late: it is asked for a moment after the end"
    assert look_ups(venue) == 0
    found = compared(settled)
    assert found is not None
    assert (found.basis, found.agrees, found.difference) == (Basis.RECORD, True, "")
    assert found.facts["look_up"] == settled.look_ups.get().pk
    assert look_ups(venue) == 1
    compared(settled, 600)
    assert look_ups(venue) == 1
    assert [fact["agrees"] for fact in entries(settled)] == [True]


def test_what_a_look_up_settled_is_matched_without_another_question(approved: Make, venue: Simulator) -> None:
    transfer = approved(amount="12.5")
    venue.fault("answer_lost", match="inter-transfer")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    Transfer.objects.filter(pk=transfer.pk).update(due_at=timezone.now())
    settle.settle(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    before = look_ups(venue)
    found = compared(transfer)
    assert found is not None
    assert found.basis == Basis.RECORD
    assert look_ups(venue) == before


def test_the_venue_is_asked_again_with_growing_pauses_and_only_when_it_is_our_turn(
    unseen: Transfer, venue: Simulator
) -> None:
    asked = []
    for seconds in range(1, 70):
        after = unseen.changed_at + timedelta(seconds=seconds)
        match.match(reference=unseen.reference, now=lambda after=after: after)  # type: ignore[misc]
        asked.append(look_ups(venue))
    grown = [second for second, (one, two) in enumerate(pairwise(asked), start=2) if two > one]
    assert grown == [2, 6, 14, 30, 62], grown


def test_a_venue_that_asked_us_to_wait_is_not_asked(settled: Transfer, venue: Simulator) -> None:
    venues.limited(settled.connection, timezone.now() + timedelta(minutes=1))
    assert compared(settled) is None
    assert look_ups(venue) == 0


@pytest.mark.parametrize(
    ("state", "words"),
    [(Found.UNCLEAR, "has other words than were approved"), (Found.FAILED, "says that it failed")],
)
def test_a_record_that_says_something_else_does_not_match(settled: Transfer, state: settle.Found, words: str) -> None:
    said(settled, settle.Standing(state=state, searched=True, found=True))
    found = compared(settled)
    assert found is not None
    assert (found.basis, found.agrees) == (Basis.RECORD, False)
    assert words in found.difference
    assert list(match.not_matching()) == [found]


def test_a_record_that_shows_late_matches_after_all_and_the_log_says_both(unseen: Transfer, venue: Simulator) -> None:
    assert compared(unseen) is None, "too early to say that it does not match"
    found = compared(unseen, 700)
    assert found is not None
    assert (found.basis, found.agrees) == (Basis.NOTHING, False)
    assert "records have not shown it" in found.difference
    said(unseen, settle.Standing(state=Found.DONE, searched=True, found=True, record="V1"))
    found = compared(unseen, 800)
    assert found is not None
    assert (found.basis, found.agrees, found.facts["record"]) == (Basis.RECORD, True, "V1")
    assert [fact["basis"] for fact in entries(unseen)] == ["nothing", "record"]


# -- by both balances ----------------------------------------------------------------------------------------


@pytest.fixture
def xt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with serve("xt") as simulator:
        monkeypatch.setattr(settings, "SIMULATORS", {"xt": simulator.url})
        yield simulator


@pytest.fixture
def login(db: None, xt: Simulator) -> Connection:
    xt.set_balance("SPOT", "usdt", "1000")
    xt.set_balance("LEVER:btc_usdt", "usdt", "1000")
    words = {"venue": "xt", "environment": "production", "credentials": xt.credentials}
    made = connect(name="XT main", at=timezone.now(), **words)  # type: ignore[arg-type]
    refresh(connection=made, at=timezone.now())
    return made


@pytest.fixture
def moves(login: Connection, maker: User, checker: User) -> Make:
    """moves("50") -> sent from spot to margin: XT keeps no record of such a move."""

    def make(amount: str, source: str = "SPOT", destination: str = "LEVER:btc_usdt", send: bool = True) -> Transfer:
        ends = (login.accounts.get(address=source), login.accounts.get(address=destination))
        made = draft.draft(words=draft.Words(*ends, "usdt", amount, "Margin"), maker=maker, at=timezone.now())
        made = submit.submit(reference=made.reference, maker=maker, at=timezone.now())
        made = approve.approve(
            reference=made.reference,
            checker=checker,
            digest=made.digest or "",
            round=made.round,
            factor="password",
            at=timezone.now(),
        )
        if send:
            dispatch.dispatch(reference=made.reference, now=timezone.now)
            made.refresh_from_db()
            assert made.state == State.SETTLED, (made.held, made.outcome)
        return made

    return make


def read(login: Connection, seconds: float = 10) -> None:
    """A reading of so long after now, as far as the venue's limits know."""
    CallWindow.objects.all().delete()
    refresh(connection=login, at=timezone.now() + timedelta(seconds=seconds))


def test_where_the_venue_keeps_no_record_both_balances_match_it(moves: Make, login: Connection, xt: Simulator) -> None:
    transfer = moves("50")
    assert compared(transfer) is None, "no reading of after it yet"
    read(login)
    found = compared(transfer, 12)
    assert found is not None
    assert (found.basis, found.agrees, found.difference) == (Basis.BALANCES, True, "")
    assert found.facts["source"] == {"expected": "-50", "changed": "-50"}
    assert found.facts["destination"] == {"expected": "50", "changed": "50"}
    assert not transfer.look_ups.exists(), "a venue that keeps no such record is not asked for it"


def test_a_change_that_is_off_by_one_is_listed_with_the_difference(
    moves: Make, login: Connection, xt: Simulator
) -> None:
    transfer = moves("50")
    xt.set_balance("SPOT", "usdt", "951")
    read(login)
    found = compared(transfer, 12)
    assert found is not None
    assert (found.basis, found.agrees) == (Basis.BALANCES, False)
    assert found.difference == "XT main · Spot: expected \u221250 usdt, changed by \u221249"
    xt.set_balance("SPOT", "usdt", "700")
    read(login, 80)
    again = compared(transfer, 90)
    assert again is not None
    assert again.difference == found.difference, "later readings show later changes"
    assert len(entries(transfer)) == 1


def test_a_reading_that_comes_right_later_matches_after_all(moves: Make, login: Connection, xt: Simulator) -> None:
    transfer = moves("50")
    xt.set_balance("SPOT", "usdt", "1000")  # an answer that lags
    read(login)
    assert not compared(transfer, 12).agrees  # type: ignore[union-attr]
    xt.set_balance("SPOT", "usdt", "950")
    read(login, 80)
    assert compared(transfer, 90).agrees  # type: ignore[union-attr]
    assert [fact["agrees"] for fact in entries(transfer)] == [False, True]


def test_our_other_transfers_in_between_are_taken_off(moves: Make, login: Connection) -> None:
    first, second = moves("50"), moves("7")
    read(login)
    for transfer in (first, second):
        found = compared(transfer, 12)
        assert found is not None
        assert found.agrees, found.difference


def test_while_another_of_ours_is_on_its_way_balances_say_nothing(moves: Make, login: Connection) -> None:
    transfer, other = moves("50"), moves("7", send=False)
    assert dispatch.claim(reference=other.reference, at=timezone.now()) is not None
    read(login)
    assert compared(transfer, 12) is None
    found = compared(transfer, 700)
    assert found is not None
    assert (found.basis, found.agrees) == (Basis.NOTHING, False)


def test_a_venue_with_a_ledger_is_matched_by_its_row(moves: Make, login: Connection, xt: Simulator) -> None:
    transfer = moves("50", "SPOT", "FUTURES_U", send=False)
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    Transfer.objects.filter(pk=transfer.pk).update(due_at=timezone.now())
    settle.settle(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    found = compared(transfer)
    assert found is not None
    assert found.basis == Basis.RECORD
    assert found.facts["record"].startswith("FUTURES_U:")


# -- by people's word, and corrected by it -------------------------------------------------------------------


def in_doubt(transfer: Transfer) -> Transfer:
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=Uncertain("Perhaps."), now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def resolved(transfer: Transfer, by: User, then: User) -> Transfer:
    """Two people say that it moved, a minute later."""
    at = timezone.now() + timedelta(minutes=1)
    empty = settle.Standing(state=Found.UNCLEAR, searched=True, found=False)
    settle.note(reference=transfer.reference, answer=empty, asked_at=at, at=at)
    words = {"reference": transfer.reference, "moved": True, "reason": "seen there", "typed": transfer.reference}
    change = resolve.propose(by=by, at=at, **words)  # type: ignore[arg-type]
    resolve.confirm(change_id=change.pk, by=then, digest=change.digest, typed=transfer.reference, at=at)
    transfer.refresh_from_db()
    return transfer


def test_what_two_people_resolved_is_matched_by_balances_where_these_tell(
    moves: Make, login: Connection, xt: Simulator, checker: User, checker2: User
) -> None:
    transfer = resolved(in_doubt(moves("50", send=False)), checker, checker2)
    xt.set_balance("SPOT", "usdt", "950")
    xt.set_balance("LEVER:btc_usdt", "usdt", "1050")
    read(login, 90)
    found = compared(transfer, 100)
    assert found is not None
    assert (found.basis, found.agrees) == (Basis.BALANCES, True)


def test_what_two_people_resolved_and_nothing_shows_rests_on_their_word(
    moves: Make, login: Connection, checker: User, checker2: User
) -> None:
    transfer = resolved(in_doubt(moves("50", send=False)), checker, checker2)
    read(login, 90)
    found = compared(transfer, 100)
    assert found is not None
    assert (found.basis, found.agrees) == (Basis.NOTHING, False)
    assert "rests on the word of two people" in found.difference
    assert "expected \u221250 usdt, changed by 0" in found.difference


def test_a_transfer_that_two_people_found_not_to_have_moved_is_not_reconciled(
    settled: Transfer, checker: User, checker2: User
) -> None:
    said(settled, settle.Standing(state=Found.FAILED, searched=True, found=True))
    compared(settled)
    assert match.not_matching().count() == 1
    said_of(settled, moved=False, by=checker, then=checker2)
    assert not has_moved(settled)
    assert compared(settled) is None
    assert not match.not_matching().exists()
    assert match.counts() == match.Counts(record=0, balances=0, differing=0, waiting=0)


def said_of(transfer: Transfer, *, moved: bool, by: User, then: User) -> None:
    """Two people close its contradiction."""
    (one,) = transfer.contradictions.filter(closed_at=None)
    at = timezone.now()
    words = {"reason": "seen there", "typed": transfer.reference, "files": []}
    change = contradictions.propose_close(contradiction_id=one.pk, moved=moved, by=by, at=at, **words)  # type: ignore[arg-type]
    contradictions.confirm_close(change_id=change.pk, by=then, digest=change.digest, typed=transfer.reference, at=at)


def test_a_transfer_that_two_people_found_to_have_moved_after_all_is_compared(
    approved: Make, checker: User, checker2: User
) -> None:
    transfer = in_doubt(approved())
    said(transfer, settle.Standing(state=Found.FAILED, searched=True, found=True))
    said(transfer, settle.Standing(state=Found.DONE, searched=True, found=True, record="R1"))
    assert match.due(transfer.connection, timezone.now()) == []
    said_of(transfer, moved=True, by=checker, then=checker2)
    transfer.refresh_from_db()
    assert transfer.state == State.FAILED
    assert match.due(transfer.connection, timezone.now()) == [transfer]
    assert list(match.waiting(timezone.now())) == [transfer]
    assert match.counts() == match.Counts(record=0, balances=0, differing=0, waiting=1)
    assert compared(transfer) is not None
    assert not match.waiting(timezone.now()).exists()
    assert match.counts() == match.Counts(record=1, balances=0, differing=0, waiting=0)


# -- by the clock --------------------------------------------------------------------------------------------


def test_what_failed_or_is_in_flight_is_not_compared(submitted: Make, approved: Make) -> None:
    for transfer in (submitted(), approved(), in_doubt(approved())):
        assert compared(transfer) is None
    assert not Match.objects.exists()
    assert not match.waiting(timezone.now()).exists()


def test_the_marker_that_ticks_look_for_says_exactly_what_has_a_match(settled: Transfer, unseen: Transfer) -> None:
    for seconds in (0, 3, 700):
        for transfer in (settled, unseen):
            compared(transfer, seconds)
            transfer.refresh_from_db()
            assert transfer.compared == Match.objects.filter(transfer=transfer).exists()
    assert settled.compared
    assert unseen.compared


def test_each_is_counted_once_by_what_it_matches(settled: Transfer) -> None:
    assert match.counts() == match.Counts(record=0, balances=0, differing=0, waiting=1)
    compared(settled)
    assert match.counts() == match.Counts(record=1, balances=0, differing=0, waiting=0)


def test_a_tick_wakes_only_connections_with_something_to_compare(
    settled: Transfer, rung: list[tuple[str, object]]
) -> None:
    rung.clear()
    tasks.tick_match()
    assert rung == [("treasury.match_connection", [settled.connection_id])]
    compared(settled)
    rung.clear()
    tasks.tick_match()
    assert rung == []


def test_the_connections_own_task_compares_what_is_due(settled: Transfer, venue: Simulator) -> None:
    Transfer.objects.filter(pk=settled.pk).update(changed_at=timezone.now() - timedelta(seconds=3))
    for _ in range(2):
        tasks.match_connection(settled.connection_id)
    assert match.counts() == match.Counts(record=1, balances=0, differing=0, waiting=0)
    assert look_ups(venue) == 1


def test_what_differs_is_compared_again_after_the_new_and_not_at_each_tick(settled: Transfer) -> None:
    said(settled, settle.Standing(state=Found.UNCLEAR, searched=True, found=True))
    compared(settled, 0)
    at = timezone.now()
    assert match.due(settled.connection, at) == []
    assert match.due(settled.connection, at + timedelta(minutes=2)) == [settled]
    assert match.due(settled.connection, at + timedelta(days=8)) == []


# -- what people state ---------------------------------------------------------------------------------------


def test_where_people_state_what_is_there_the_next_statement_matches_it_however_late(
    maker: User, operator: User, operator2: User, checker: User, checker2: User
) -> None:
    desk = hands.desk()
    here, there = (hands.account_of(desk, operator, operator2, address) for address in ("cold-1", "cold-2"))
    for account, total in ((here, "100"), (there, "7")):
        hands.stated(account, total, maker, checker)
    words = draft.Words(here, there, "USDT", "10", "To the other wallet")
    transfer = hands.asked(hands.approved(draft.draft(words=words, maker=maker, at=timezone.now()), checker, checker2))
    hands.agree(hands.say(transfer, operator), transfer, checker)
    assert hands.ticked(transfer).state == State.SETTLED
    row = compared(transfer, 11 * 60)
    assert row is not None
    assert (row.basis, row.agrees) == (Basis.NOTHING, False)

    def state(account: Account, total: str, at: datetime) -> None:
        words = typed.Stated(account, "USDT", total, at)
        change = typed.propose(stated=words, reason="By its statement", files=[hands.PAPER], by=maker, at=at)
        typed.confirm(change_id=change.pk, by=checker, digest=change.digest, at=at)

    at = timezone.now() + timedelta(days=30)
    minute = timedelta(minutes=1)
    assert match.due(desk, at) == [], "nothing new is known"
    state(here, "90", at)
    assert match.due(desk, at + 2 * minute) == [transfer]
    match.match(reference=transfer.reference, now=lambda: at + 2 * minute)
    assert match.due(desk, at + 9 * minute) == [], "compared once after each statement, not at each tick"
    state(there, "17", at + 10 * minute)
    assert match.due(desk, at + 12 * minute) == [transfer]
    match.match(reference=transfer.reference, now=lambda: at + 12 * minute)
    row.refresh_from_db()
    assert (row.basis, row.agrees) == (Basis.BALANCES, True), row.difference
    state(there, "18", at + 20 * minute)
    assert match.due(desk, at + 22 * minute) == []


# -- what the venue is made to say ---------------------------------------------------------------------------


def said(transfer: Transfer, answer: settle.Standing) -> None:
    at = timezone.now()
    settle.note(reference=transfer.reference, answer=answer, asked_at=at, at=at)
