"""One stops, two release; and after "Stopped" is on the screen, no claim commits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from tests.audit.log import Beside
from tests.house import deactivate, person, set_up
from treasury.audit.record import Machine
from treasury.controls import changes, stops
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS
from treasury.models import Attempt, AuditEntry, Change, Connection, State, StopOrder, Transfer, User
from treasury.transfers import attempts, dispatch

pytestmark = pytest.mark.django_db(transaction=True)


def stop(connection: Connection, by: User | Machine, reason: str = "drill") -> StopOrder:
    return stops.stop(connection=connection, reason=reason, by=by, at=timezone.now())


def ask(order: StopOrder, by: User) -> Change:
    return stops.propose_release(stop_order_id=order.pk, by=by, reason="over", at=timezone.now())


def confirm(change: Change, by: User) -> StopOrder:
    return stops.confirm_release(change_id=change.pk, by=by, digest=change.digest, at=timezone.now())


def covers(transfer: Transfer) -> bool:
    return stops.standing_for(transfer) is not None


def said(connection: Connection) -> list[tuple[str, str]]:
    entries = AuditEntry.objects.filter(subject=f"connection:{connection.name}", action__startswith="stop.")
    return list(entries.order_by("id").values_list("action", "actor"))


def test_one_operator_stops_and_the_log_says_so(connection: Connection, operator: User) -> None:
    order = stop(connection, operator)
    assert stops.standing_over(connection).get() == order
    assert said(connection) == [("stop.order", "admin")]


def test_the_product_itself_stops(connection: Connection) -> None:
    assert stop(connection, Machine("dispatcher")).by == "dispatcher"
    assert stops.standing_over(connection).exists()


@pytest.mark.parametrize("role", [MAKERS, CHECKERS, AUDITORS, None])
def test_nobody_but_an_operator_stops_or_releases(
    connection: Connection, operator: User, operator2: User, role: str | None
) -> None:
    someone = person("someone", *([role] if role else []), is_superuser=True)
    with pytest.raises(stops.MayNotStop):
        stop(connection, someone)
    assert not StopOrder.objects.exists()
    order = stop(connection, operator)
    with pytest.raises(changes.MayNotChange):
        ask(order, someone)
    assert not Change.objects.filter(kind=stops.RELEASE).exists()
    with pytest.raises(changes.MayNotChange):
        confirm(ask(order, operator2), someone)
    order.refresh_from_db()
    assert order.released_at is None


def test_a_deactivated_operator_neither_stops_nor_releases(
    connection: Connection, operator: User, operator2: User
) -> None:
    order = stop(connection, operator2)
    asked = ask(order, operator2)
    deactivate(operator)
    with pytest.raises(stops.MayNotStop):
        stop(connection, operator)
    with pytest.raises(changes.MayNotChange):
        confirm(asked, operator)


def test_it_takes_two_different_operators_to_release(connection: Connection, operator: User, operator2: User) -> None:
    order = stop(connection, operator)
    asked = ask(order, operator)
    with pytest.raises(changes.MayNotChange, match="someone else"):
        confirm(asked, operator)
    assert stops.standing_over(connection).get() == order
    assert confirm(asked, operator2).release == asked
    assert not stops.standing_over(connection).exists()
    assert said(connection) == [("stop.order", "admin"), ("stop.release", "admin2")]
    told = AuditEntry.objects.get(action="change.propose")
    assert (told.actor, told.subject, told.facts["words"]["stop"]) == ("admin", connection.subject, order.pk)


def test_a_release_is_proposed_once(connection: Connection, operator: User, operator2: User) -> None:
    order = stop(connection, operator)
    ask(order, operator)
    for by in (operator, operator2):
        with pytest.raises(stops.NotStanding, match="another operator"):
            ask(order, by)
    assert Change.objects.filter(kind=stops.RELEASE).count() == 1


def test_a_release_is_confirmed_as_it_was_read(connection: Connection, operator: User, operator2: User) -> None:
    asked = ask(stop(connection, operator), operator)
    with pytest.raises(changes.OtherChange):
        stops.confirm_release(change_id=asked.pk, by=operator2, digest="0" * 64, at=timezone.now())
    assert stops.standing_over(connection).exists()


def test_a_declined_release_leaves_the_stop_standing(connection: Connection, operator: User, operator2: User) -> None:
    order = stop(connection, operator)
    asked = ask(order, operator)
    changes.decline(change_id=asked.pk, by=operator2, reason="Not yet", at=timezone.now())
    with pytest.raises(changes.NotWaiting):
        confirm(asked, operator2)
    assert stops.standing_over(connection).get() == order
    assert ask(order, operator2).pk != asked.pk, "it can be asked for anew"


def test_what_was_released_is_not_released_again(connection: Connection, operator: User, operator2: User) -> None:
    order = stop(connection, operator)
    confirm(ask(order, operator), operator2)
    with pytest.raises(stops.NotStanding, match="already"):
        ask(order, person("admin3", OPERATORS))


def test_two_operators_at_once_confirm_it_once(connection: Connection, operator: User, operator2: User) -> None:
    third = person("admin3", OPERATORS)
    for _ in range(5):
        asked = ask(stop(connection, operator), operator)
        both = [Beside(lambda by=by, asked=asked: confirm(asked, by)) for by in (operator2, third)]
        ended = []
        for one in both:
            try:
                ended.append(one.join())
            except changes.NotWaiting:
                ended.append(None)
        assert ended.count(None) == 1
        asked.refresh_from_db()
        assert asked.ruling == "applied"


def scopes(transfer: Transfer) -> dict[str, dict[str, object]]:
    return {
        "everything": {"everything": True},
        "venue": {"venue": transfer.connection.venue},
        "connection": {"connection": transfer.connection},
        "asset": {"asset": transfer.asset.lower()},
        "source": {"account": transfer.source},
        "destination": {"account": transfer.destination},
    }


@pytest.mark.parametrize("scope", ["everything", "venue", "connection", "asset", "source", "destination"])
def test_a_stop_of_every_scope_holds_what_it_covers(
    approved: Callable[..., Transfer], operator: User, scope: str
) -> None:
    transfer = approved()
    order = stops.stop(reason="drill", by=operator, at=timezone.now(), **scopes(transfer)[scope])  # type: ignore[arg-type]
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert f"{stops.covered(order)} is stopped since" in transfer.held


@pytest.mark.parametrize("scope", ["everything", "venue", "connection", "asset", "source", "destination"])
def test_what_an_order_covers_and_what_covers_a_transfer_are_the_same(
    approved: Callable[..., Transfer], operator: User, scope: str
) -> None:
    transfer, at = approved(), timezone.now()
    order = stops.stop(reason="drill", by=operator, at=at, **scopes(transfer)[scope])  # type: ignore[arg-type]
    assert Transfer.objects.filter(stops.covered_by(order)).get() == transfer
    assert stops.standing_for(transfer) == order
    other = stops.stop(reason="drill", by=operator, at=at, venue="xt")
    assert stops.held_by([order, other]) == [1, 0]
    assert stops.standing_over(transfer.connection).contains(order) == (scope in ("everything", "venue", "connection"))


def test_a_stop_of_a_venue_is_called_by_its_title(connection: Connection, operator: User) -> None:
    def called(venue: str) -> str:
        return stops.covered(stops.stop(venue=venue, reason="drill", by=operator, at=timezone.now()))

    assert called("bybit") == "everything at Bybit"
    assert called("closed-long-ago") == "everything at closed-long-ago"


def test_a_stop_leaves_alone_what_it_does_not_cover(approved: Callable[..., Transfer], operator: User) -> None:
    transfer = approved()
    other = set_up(connection=transfer.connection, address="OTHER", kind="UNIFIED", title="Other")
    for what in ({"venue": "xt"}, {"asset": "BTC"}, {"account": other}):
        stops.stop(reason="drill", by=operator, at=timezone.now(), **what)  # type: ignore[arg-type]
    assert not covers(transfer)
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is not None


def test_each_of_two_stops_must_be_released(connection: Connection, operator: User, operator2: User) -> None:
    first, second = stop(connection, operator, "one"), stop(connection, operator2, "two")
    confirm(ask(first, operator), operator2)
    assert stops.standing_over(connection).get() == second


def test_a_stop_by_the_product_for_the_same_reason_is_written_once(connection: Connection) -> None:
    for _ in range(3):
        stops.stop(connection=connection, reason="barred", by=Machine("dispatcher"), at=timezone.now())
    stops.stop(connection=connection, reason="another", by=Machine("dispatcher"), at=timezone.now())
    assert list(StopOrder.objects.order_by("pk").values_list("reason", flat=True)) == ["barred", "another"]


def test_a_refused_stop_leaves_nothing_in_the_log(connection: Connection, maker: User) -> None:
    with pytest.raises(stops.MayNotStop):
        stop(connection, maker)
    assert said(connection) == []


# -- a claim and a stop at the same time ---------------------------------------------------------------------


@contextmanager
def claiming(transfer: Transfer, reached: Event, go: Event, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beside]:
    """A claim that has found nothing against sending, and pauses before it commits."""
    enter = attempts.enter

    def paused(*args: object, **named: object) -> Attempt:
        reached.set()
        assert go.wait(30)
        return enter(*args, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(attempts, "enter", paused)
        yield Beside(lambda: dispatch.claim(reference=transfer.reference, at=timezone.now()))


def test_a_stopped_connection_sends_nothing(approved: Callable[..., Transfer], operator: User) -> None:
    transfer = approved()
    stop(transfer.connection, operator)
    assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
    transfer.refresh_from_db()
    assert transfer.state == State.APPROVED
    assert "is stopped since" in transfer.held
    assert not Attempt.objects.exists()


def test_a_stop_waits_for_the_claim_under_way_and_then_holds_every_other(
    approved: Callable[..., Transfer], operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = approved(), approved()
    reached, go = Event(), Event()
    with claiming(first, reached, go, monkeypatch) as claim:
        assert reached.wait(30)
        stopping = Beside(lambda: stop(first.connection, operator))
        wait_for_a_waiter()
        assert stopping.is_running(), "nobody reads “Stopped” while a claim may still commit"
        assert not StopOrder.objects.exists()
        go.set()
        assert claim.join() is not None
    stopping.join()
    assert dispatch.claim(reference=second.reference, at=timezone.now()) is None
    assert Attempt.objects.count() == 1


def test_a_claim_waits_for_a_stop_that_is_being_written(approved: Callable[..., Transfer], operator: User) -> None:
    transfer = approved()
    written, go = Event(), Event()

    def stopping() -> None:
        with transaction.atomic():
            stop(transfer.connection, operator)
            written.set()
            assert go.wait(30)

    order = Beside(stopping)
    assert written.wait(30)
    claim = Beside(lambda: dispatch.claim(reference=transfer.reference, at=timezone.now()))
    wait_for_a_waiter()
    assert claim.is_running()
    go.set()
    order.join()
    assert claim.join() is None
    assert not Attempt.objects.exists()


def test_no_claim_commits_after_stopped(approved: Callable[..., Transfer], operator: User) -> None:
    """Claims in a row on one side, a stop in the middle: none of them is later than the word “Stopped”."""
    transfers = [approved(amount="1") for _ in range(12)]
    halting = Event()

    def claims() -> None:
        for number, transfer in enumerate(transfers):
            if number == 6:
                assert halting.wait(30)
            dispatch.claim(reference=transfer.reference, at=timezone.now())

    def halt() -> None:
        while Attempt.objects.count() < 3:
            time.sleep(0.001)
        halting.set()
        stop(transfers[0].connection, operator)

    for one in [Beside(claims), Beside(halt)]:
        one.join()
    assert Attempt.objects.count() >= 3
    stopped = AuditEntry.objects.get(action="stop.order")
    assert not AuditEntry.objects.filter(action="transfer.dispatch", id__gt=stopped.pk).exists()


def wait_for_a_waiter() -> None:
    """Until somebody waits for the lock between claims and stops."""
    for _ in range(3000):
        with database.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                [stops.CLAIMS_LOCK],
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.005)
    raise AssertionError("nobody waits")
