"""What became of an account between two readings: our transfers by name, their fees, and the rest; to the last unit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.core.errors import Uncertain
from connectors.core.protocol import Receipt
from connectors.simulators.core import Simulator
from tests.balances.kept import keep
from tests.house import bare_connection, set_up
from tests.models.attack import sql
from tests.transfers import hands
from treasury.balances import explained, movements, typed
from treasury.balances.explained import Change, NotComparable, between
from treasury.balances.refresh import refresh
from treasury.models import Account, Connection, Movement, Snapshot, State, Transfer, User
from treasury.transfers import attempts, contradictions, dispatch, draft

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def read(connection: Connection, at: datetime) -> Snapshot:
    refresh(connection=connection, at=at)
    return connection.snapshots.get(at=at)


def changes(since: Snapshot, until: Snapshot) -> dict[tuple[str, str], Change]:
    return {(one.account.address, one.asset): one for one in between(since=since, until=until)}


def parts(one: Change) -> tuple[str, str, str, str]:
    """(change, ours, fees, rest)."""
    numbers = (one.change, one.ours, one.fees, one.rest)
    first, second, third, fourth = ("-" if number is None else f"{number.normalize():f}" for number in numbers)
    return first, second, third, fourth


def settled(transfer: Transfer, claimed_at: datetime, at: datetime, fee: str | None = None) -> Transfer:
    """The transfer as it would be, had it been claimed and settled at these moments."""
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    answer = Receipt(settled=True, record=transfer.reference, fee=None if fee is None else Decimal(fee))
    attempts.conclude(attempt_id=attempt.pk, answer=answer, now=timezone.now)
    shifted(transfer, claimed_at, at)
    return transfer


def shifted(transfer: Transfer, claimed_at: datetime, at: datetime) -> None:
    """Move its moments, past the guards that freeze them."""
    sql("SET LOCAL session_replication_role = replica")
    sql("UPDATE treasury_attempt SET claimed_at = %s WHERE transfer_id = %s", claimed_at, transfer.pk)
    sql("UPDATE treasury_transfer SET changed_at = %s, created_at = %s WHERE id = %s", at, claimed_at, transfer.pk)
    sql("SET LOCAL session_replication_role = DEFAULT")


# -- whose change it is --------------------------------------------------------------------------------------


def test_our_transfer_is_named_on_both_sides_with_its_sign(
    unified: Account, fund: Account, approved: Make, connection: Connection
) -> None:
    since = connection.snapshots.latest("at")
    transfer = approved(amount="12.5")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    until = read(connection, timezone.now() + MINUTE)
    found = changes(since, until)
    assert parts(found["UNIFIED", "USDT"]) == ("-12.5", "-12.5", "0", "0")
    assert parts(found["FUND", "USDT"]) == ("12.5", "12.5", "0", "0")
    assert [(one.reference, one.amount) for one in found["UNIFIED", "USDT"].moves] == [
        (transfer.reference, Decimal("-12.5"))
    ]
    assert not found["UNIFIED", "BTC"].is_news


def test_what_others_did_is_the_rest_with_the_movements_of_that_time(
    unified: Account, approved: Make, connection: Connection, venue: Simulator
) -> None:
    since = connection.snapshots.latest("at")
    dispatch.dispatch(reference=approved(amount="12.5").reference, now=timezone.now)
    venue.set_balance("UNIFIED", "USDT", "980")
    until = read(connection, timezone.now() + MINUTE)
    one = changes(since, until)["UNIFIED", "USDT"]
    assert parts(one) == ("-20", "-12.5", "0", "-7.5")
    assert [row.rest for row in one.seen] == [Decimal("-7.5")]
    later = read(connection, timezone.now() + 2 * MINUTE)
    assert changes(until, later)["UNIFIED", "USDT"].seen == []


@pytest.mark.parametrize(
    ("left", "told"),
    [
        ("987.5", ("-12.5", "-12.5", "0", "0")),
        ("987.4", ("-12.6", "-12.5", "-0.1", "0")),
        ("987.3", ("-12.7", "-12.5", "-0.1", "-0.1")),
    ],
)
def test_a_fee_that_the_venue_named_stands_apart_and_only_where_it_was_taken_on_top(
    approved: Make, connection: Connection, venue: Simulator, left: str, told: tuple[str, ...]
) -> None:
    since = connection.snapshots.latest("at")
    transfer = settled(approved(amount="12.5"), since.at + MINUTE, since.at + 2 * MINUTE, fee="0.1")
    until = keep(connection, since.at + 3 * MINUTE, UNIFIED={"USDT": left}, FUND={"USDT": "1012.5"})
    one = changes(since, until)["UNIFIED", "USDT"]
    assert parts(one) == told
    assert {part.reference for part in one.charges} <= {transfer.reference}


def test_a_rebate_is_no_fee_and_shows_as_the_rest(approved: Make, connection: Connection) -> None:
    since = connection.snapshots.latest("at")
    settled(approved(amount="12.5"), since.at + MINUTE, since.at + 2 * MINUTE, fee="-0.1")
    until = keep(connection, since.at + 3 * MINUTE, UNIFIED={"USDT": "987.6"})
    assert parts(changes(since, until)["UNIFIED", "USDT"]) == ("-12.4", "-12.5", "0", "0.1")


def test_a_transfer_of_another_time_explains_nothing(approved: Make, connection: Connection) -> None:
    at = connection.snapshots.latest("at").at
    settled(approved(amount="12.5"), at + 10 * MINUTE, at + 11 * MINUTE)
    rows = [keep(connection, at + number * MINUTE, UNIFIED={"USDT": total}) for number, total in WHEN]
    found = [parts(changes(*pair)["UNIFIED", "USDT"]) for pair in pairwise(rows)]
    assert found == [("-12.5", "0", "0", "-12.5"), ("-12.5", "-12.5", "0", "0"), ("-12.5", "0", "0", "-12.5")]


WHEN = ((1, "1000"), (5, "987.5"), (15, "975"), (20, "962.5"))


@pytest.mark.parametrize("shows", [0, 1])
def test_a_transfer_around_a_reading_counts_on_the_side_where_it_shows(
    approved: Make, connection: Connection, shows: int
) -> None:
    """It was claimed before a reading and noted as settled after it."""
    at = connection.snapshots.latest("at").at
    settled(approved(amount="12.5"), at + 4 * MINUTE, at + 6 * MINUTE)
    totals = ("1000", "987.5" if shows == 0 else "1000", "987.5")
    rows = [keep(connection, at + (5 * n) * MINUTE + MINUTE / 2, UNIFIED={"USDT": t}) for n, t in enumerate(totals)]
    found = [parts(changes(*pair)["UNIFIED", "USDT"]) for pair in pairwise(rows)]
    none, all_ = ("0", "0", "0", "0"), ("-12.5", "-12.5", "0", "0")
    assert found == ([all_, none] if shows == 0 else [none, all_])


def test_what_nobody_knows_yet_is_named_and_counted_in_nothing(
    approved: Make, connection: Connection, venue: Simulator
) -> None:
    since = connection.snapshots.latest("at")
    transfer = approved(amount="12.5")
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=Uncertain("Perhaps."), now=timezone.now)
    venue.set_balance("UNIFIED", "USDT", "987.5")
    until = read(connection, timezone.now() + MINUTE)
    one = changes(since, until)["UNIFIED", "USDT"]
    assert parts(one) == ("-12.5", "0", "0", "-12.5")
    assert one.open == [transfer.reference]


def test_what_two_people_corrected_counts_as_they_said(
    approved: Make, connection: Connection, checker: User, checker2: User
) -> None:
    since = connection.snapshots.latest("at")
    transfer = settled(approved(amount="12.5"), since.at + MINUTE, since.at + 2 * MINUTE)
    until = keep(connection, since.at + 3 * MINUTE, UNIFIED={"USDT": "1000"})
    at = timezone.now() + 5 * MINUTE
    contradictions.raise_(transfer, words="its record failed", by=movements.DRIFT, at=at)
    one = changes(since, until)["UNIFIED", "USDT"]
    assert one.open == [transfer.reference]
    (open_,) = transfer.contradictions.filter(closed_at=None)
    said = {"reason": "seen", "typed": transfer.reference, "files": []}
    change = contradictions.propose_close(contradiction_id=open_.pk, moved=False, by=checker, at=at, **said)  # type: ignore[arg-type]
    contradictions.confirm_close(
        change_id=change.pk, by=checker2, digest=change.digest, typed=transfer.reference, at=at
    )
    one = changes(since, until)["UNIFIED", "USDT"]
    assert (parts(one), one.open) == (("0", "0", "0", "0"), [])


# -- what is not known ---------------------------------------------------------------------------------------


def test_what_was_not_readable_on_one_side_is_not_taken_apart(connection: Connection) -> None:
    at = connection.snapshots.latest("at").at
    since = keep(connection, at + MINUTE, UNIFIED={"USDT": "5", "BTC": "1"}, FUND={"": None})
    until = keep(connection, at + 2 * MINUTE, UNIFIED={"USDT": None}, FUND={"USDT": "3"})
    found = changes(since, until)
    assert parts(found["UNIFIED", "USDT"]) == ("-", "0", "0", "-")
    assert found["UNIFIED", "USDT"].why == "after: no answer"
    assert found["FUND", "USDT"].why == "before: no answer"
    assert found["FUND", "USDT"].is_news
    assert parts(found["UNIFIED", "BTC"]) == ("-1", "0", "0", "-1")


def test_an_account_that_was_not_set_up_held_nothing_that_is_known(connection: Connection) -> None:
    at = connection.snapshots.latest("at").at
    since, until = keep(connection, at + MINUTE, UNIFIED={}), keep(connection, at + 2 * MINUTE, FUND={"USDT": "3"})
    assert changes(since, until)["FUND", "USDT"].before is None


def test_readings_of_two_connections_or_the_wrong_way_round_are_refused(connection: Connection) -> None:
    at = connection.snapshots.latest("at").at
    first, second = keep(connection, at + MINUTE), keep(connection, at + 2 * MINUTE)
    other = bare_connection(
        name="Other", venue="bybit", environment="mainnet", login="2", credentials="-", created_at=at
    )
    for pair in ((second, first), (first, first), (first, keep(other, at + 5 * MINUTE))):
        with pytest.raises(NotComparable):
            between(since=pair[0], until=pair[1])


def test_it_costs_the_same_however_much_happened(
    connection: Connection, approved: Make, django_assert_num_queries: Any
) -> None:
    since = connection.snapshots.latest("at")
    for _ in range(5):
        settled(approved(amount="1"), since.at + MINUTE, since.at + 2 * MINUTE)
    until = keep(connection, since.at + 3 * MINUTE, UNIFIED={f"COIN{n}": "1" for n in range(40)})
    with django_assert_num_queries(3):
        assert len(between(since=since, until=until)) > 40


# -- across two connections ----------------------------------------------------------------------------------


def test_a_move_between_two_connections_explains_both_though_it_is_a_thirds(
    connection: Connection, unified: Account, maker: User
) -> None:
    at = timezone.now()
    made = {"environment": "x", "credentials": "-", "created_at": at}
    hand = bare_connection(name="By hand", venue="manual", login="h", by_hand=True, **made)
    other = bare_connection(name="Other", venue="qonto", login="o", **made)
    there = set_up(connection=other, address="IBAN", kind="bank", title="Bank")
    words = {"source": unified, "destination": there, "asset": "USDT", "amount": Decimal(7), "reason": "x"}
    sql("SET LOCAL session_replication_role = replica")
    transfer = Transfer.objects.create(
        reference="TR-999999", connection=hand, maker=maker, created_at=at, changed_at=at + MINUTE, **words
    )
    sql(
        "UPDATE treasury_transfer SET state = 'SETTLED', outcome = 'x', key = gen_random_uuid(), instruction = '{}', "
        "digest = '', submitted_at = now(), expires_at = now(), round = 1 WHERE id = %s",
        transfer.pk,
    )
    sql("SET LOCAL session_replication_role = DEFAULT")
    for one, account in ((connection, unified), (other, there)):
        near = movements.near_transfers(one, since=at)
        assert [each.reference for each in near[account.pk, "USDT"]] == ["TR-999999"]
    assert movements.near_transfers(hand, since=at) == {}
    assert movements.near_transfers(connection, since=at, until=at - MINUTE) == {}


# -- what people state -----------------------------------------------------------------------------------------


@pytest.fixture
def desk(db: None) -> Connection:
    return hands.desk()


@pytest.fixture
def cold(desk: Connection, operator: User, operator2: User) -> tuple[Account, Account]:
    one, other = (hands.account_of(desk, operator, operator2, address) for address in ("cold-1", "cold-2"))
    return one, other


@pytest.fixture
def settled_by_hand(maker: User, operator: User, checker: User, checker2: User) -> Make:
    def make(source: Account, destination: Account, amount: str, asset: str = "USDT") -> Transfer:
        words = draft.Words(source, destination, asset, amount, "Top it up")
        made = draft.draft(words=words, maker=maker, at=timezone.now())
        transfer = hands.asked(hands.approved(made, checker, checker2))
        hands.agree(hands.say(transfer, operator), transfer, checker)
        assert hands.ticked(transfer).state == State.SETTLED
        return transfer

    return make


def state(account: Account, total: str, first: User, second: User, at: datetime, **more: Any) -> None:
    """Stated at that moment, as of that moment or of ``seen_at``."""
    words = typed.Stated(account, more.get("asset", "USDT"), total, more.get("seen_at", at))
    change = typed.propose(stated=words, reason="By its statement", files=[hands.PAPER], by=first, at=at)
    typed.confirm(change_id=change.pk, by=second, digest=change.digest, at=at)


def test_a_number_that_nobody_stated_anew_did_not_change(
    desk: Connection, cold: tuple[Account, Account], settled_by_hand: Make, maker: User, checker: User
) -> None:
    """Both are stated, a transfer between them settles, and only its source is stated again."""
    source, destination = cold
    at = timezone.now() - HOUR
    for account, total in ((source, "100"), (destination, "7")):
        state(account, total, maker, checker, at)
    since = desk.snapshots.latest("pk")
    settled_by_hand(source, destination, "10")
    state(source, "90", maker, checker, timezone.now() + MINUTE)
    found = changes(since, desk.snapshots.latest("at"))
    assert parts(found["cold-1", "USDT"]) == ("-10", "-10", "0", "0")
    assert parts(found["cold-2", "USDT"]) == ("0", "0", "0", "0")
    assert not found["cold-2", "USDT"].is_news


def test_what_was_stated_late_is_of_the_moment_that_was_stated(
    desk: Connection, cold: tuple[Account, Account], settled_by_hand: Make, maker: User, checker: User
) -> None:
    """Stated as of before a transfer and confirmed after it had settled; the next statement shows it."""
    source, destination = cold
    at = timezone.now() - HOUR
    state(source, "100", maker, checker, at)
    before = timezone.now()
    transfer = settled_by_hand(source, destination, "10")
    state(destination, "7", maker, checker, before + 5 * MINUTE, seen_at=before)
    since = desk.snapshots.latest("at")
    state(destination, "17", maker, checker, before + 10 * MINUTE)
    one = changes(since, desk.snapshots.latest("at"))["cold-2", "USDT"]
    assert parts(one) == ("10", "10", "0", "0")
    assert [part.reference for part in one.moves] == [transfer.reference]


def test_what_nobody_had_ever_stated_was_nothing_and_all_that_came_explains_it(
    desk: Connection, cold: tuple[Account, Account], settled_by_hand: Make, maker: User, checker: User
) -> None:
    """The transfer had settled before the first of both readings, where the asset was not stated yet."""
    source, destination = cold
    at = timezone.now() - HOUR
    state(source, "100", maker, checker, at)
    state(destination, "1", maker, checker, at, asset="BTC")
    settled_by_hand(source, destination, "10")
    state(source, "90", maker, checker, timezone.now() + MINUTE)
    since = desk.snapshots.latest("at")
    state(source, "91", maker, checker, timezone.now() + 5 * MINUTE)
    until = desk.snapshots.latest("at")
    assert ("cold-2", "USDT") not in {key for key, one in changes(since, until).items() if one.is_news}
    state(destination, "10", maker, checker, timezone.now() + 10 * MINUTE)
    assert parts(changes(until, desk.snapshots.latest("at"))["cold-2", "USDT"]) == ("10", "10", "0", "0")


# -- exactness -----------------------------------------------------------------------------------------------

UNIT = Decimal(1).scaleb(-18)
totals = st.integers(min_value=-(10**42), max_value=10**42).map(lambda units: units * UNIT)
positive = st.integers(min_value=1, max_value=10**42).map(lambda units: units * UNIT)
minutes = st.integers(min_value=-3, max_value=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=totals,
    after=totals,
    moves=st.lists(st.tuples(positive, st.booleans(), minutes, minutes, st.none() | totals), max_size=6),
)
def test_the_parts_sum_to_the_change_to_the_last_unit_whatever_lies_where(
    unified: Account,
    fund: Account,
    monkeypatch: pytest.MonkeyPatch,
    before: Decimal,
    after: Decimal,
    moves: list[tuple[Decimal, bool, int, int, Decimal | None]],
) -> None:
    at = unified.connection.snapshots.earliest("at").at
    near = [made(unified, fund, at, *move) for move in moves]
    monkeypatch.setattr(explained.movements, "near_transfers", lambda *_, **__: {(unified.pk, "USDT"): near})
    told = [
        Snapshot(
            connection=unified.connection, at=at + n * 5 * MINUTE, holdings={"UNIFIED": {"USDT": {"total": f"{t:f}"}}}
        )
        for n, t in enumerate((before, after))
    ]
    (one,) = [each for each in between(since=told[0], until=told[1]) if each.account == unified]
    assert one.rest is not None
    pieces = [*(part.amount for part in one.moves), *(part.amount for part in one.charges), one.rest]
    assert units(after) - units(before) == sum(map(units, pieces))
    assert one.fees <= 0
    certain = [
        amount if comes else -amount for amount, comes, began, end, _ in moves if began >= 1 and max(began, end) <= 4
    ]
    assert abs(one.rest) <= abs(after - before - sum(certain))


def units(amount: Decimal) -> int:
    """In whole units of 10^-18: integers cannot round."""
    return int(amount.scaleb(18))


def made(
    unified: Account,
    fund: Account,
    at: datetime,
    amount: Decimal,
    comes: bool,
    began: int,
    end: int,
    fee: Decimal | None,
) -> Any:
    """A settled transfer as ``near_transfers`` finds it; the readings are at minutes 0 and 5."""
    source, destination = (fund, unified) if comes else (unified, fund)
    one: Any = Transfer(source=source, destination=destination, asset="USDT", amount=amount, state=State.SETTLED)
    one.began, one.moved_by = at + began * MINUTE, at + max(began, end) * MINUTE
    one.ruled, one.contradicted, one.fee = None, False, fee
    return one


def test_a_movement_row_that_is_kept_adds_up_with_its_fee(
    unified: Account, approved: Make, connection: Connection, venue: Simulator
) -> None:
    transfer = approved(amount="12.5")
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    receipt = Receipt(settled=True, record="V1", fee=Decimal("0.1"))
    attempts.conclude(attempt_id=attempt.pk, answer=receipt, now=timezone.now)
    venue.set_balance("UNIFIED", "USDT", "980")
    refresh(connection=connection, at=timezone.now() + MINUTE)
    row = Movement.objects.get(account=unified, asset="USDT")
    assert (row.ours, row.fees, row.rest) == (Decimal("-12.5"), Decimal("-0.1"), Decimal("-7.4"))
