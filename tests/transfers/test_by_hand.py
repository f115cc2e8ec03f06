"""Money between two venues, by hand: approved like any other, done by a person, said so by two, settled and matched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from connectors.core import discovery
from connectors.simulators.core import names
from tests.conftest import release
from tests.house import give, set_policy
from tests.models.attack import NOT_ALLOWED, guards_asleep, refused, sql
from tests.transfers import hands
from tests.transfers.hands import Apart, agree, approved, asked, draft_of, say, ticked
from treasury import tasks, venues
from treasury.balances.movements import CALM
from treasury.balances.refresh import NotRead, ask, refresh
from treasury.controls import changes, connections, stops
from treasury.controls.roles import CHECKERS
from treasury.models import (
    Account,
    AuditEntry,
    Balance,
    Basis,
    CallWindow,
    Connection,
    Contradiction,
    LookUp,
    Movement,
    Notice,
    Outcome,
    Resolution,
    Ruling,
    State,
    Transfer,
    User,
)
from treasury.transfers import (
    access,
    approve,
    attempts,
    by_hand,
    cancel,
    confirm,
    contradictions,
    dispatch,
    draft,
    exposure,
    guards,
    instruction,
    match,
    queries,
    reminders,
    resolve,
    settle,
    submit,
)

pytestmark = pytest.mark.django_db

OVER = timedelta(hours=25)  # later than any deadline to do it


@pytest.fixture
def desk(db: None) -> Connection:
    return hands.desk()


@pytest.fixture
def apart(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Apart]:
    with hands.apart(names()[0], monkeypatch) as found:
        yield found


@pytest.fixture
def waiting(apart: Apart, desk: Connection, maker: User, checker: User, checker2: User) -> Transfer:
    """Approved and claimed: it waits for somebody to do it."""
    transfer = asked(approved(draft_of(apart, maker), checker, checker2))
    assert transfer.state == State.CONFIRMING, (transfer.held, transfer.outcome)
    return transfer


@pytest.fixture
def wallets(desk: Connection, operator: User, operator2: User, maker: User, checker: User) -> list[Account]:
    """Three accounts of the desk, of which the first two hold something, each in its own spelling."""
    found = [hands.account_of(desk, operator, operator2, f"cold-{number}") for number in (1, 2, 3)]
    for account, asset in zip(found, ("USDT", "usdt"), strict=False):
        hands.stated(account, "1000", maker, checker, asset=asset)
    return found


def asleep(text: str) -> None:
    """One statement that no guard of the database sees, within this test's own transaction."""
    sql("SET LOCAL session_replication_role = replica")
    sql(text)
    sql("SET LOCAL session_replication_role = DEFAULT")


def ready(source: Account, destination: Account, amount: str, maker: User, *checkers: User) -> Transfer:
    """Drafted and approved, in the spelling of its source."""
    (asset,) = source.balances.values_list("asset", flat=True)
    words = draft.Words(source, destination, asset, amount, "Top it up")
    return approved(draft.draft(words=words, maker=maker, at=timezone.now()), *checkers)


# -- the whole way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", names())
def test_from_any_venue_to_another_it_is_done_by_hand_said_by_two_settled_and_matched(
    first: str,
    monkeypatch: pytest.MonkeyPatch,
    desk: Connection,
    maker: User,
    maker2: User,
    checker: User,
    checker2: User,
) -> None:
    with hands.apart(first, monkeypatch) as apart:
        transfer = approved(draft_of(apart, maker), checker, checker2)
        assert transfer.connection == desk
        assert asked(transfer).state == State.CONFIRMING
        assert ticked(transfer, timedelta(hours=1)).state == State.CONFIRMING, "nobody has said anything"

        apart.moved_there("12.5")
        apart.read()  # both venues show it before anybody has said a word
        change = say(transfer, maker2)
        assert ticked(transfer, timedelta(hours=1)).state == State.CONFIRMING, "one person's word is none"
        agree(change, transfer, checker)
        assert transfer.state == State.CONFIRMING
        assert ticked(transfer).state == State.SETTLED
        assert transfer.outcome == "It moved, by hand. Maker2 Person and Checker Person say so."
        kinds = [(one.kind, one.outcome) for one in transfer.attempts.all()]
        assert kinds == [("send", Outcome.CHALLENGE), ("repeat", Outcome.SETTLED)]

        after = timezone.now() + CALM + timedelta(seconds=1)
        apart.read(after)
        found = match.match(reference=transfer.reference, now=lambda: after + timedelta(seconds=1))
        assert found is not None
        assert (found.basis, found.agrees, found.difference) == (Basis.BALANCES, True, "")
        assert not Movement.objects.exists(), "both changes are explained to the last unit"
        assert [one.simulator.effects(transfer.key) for one in (apart.source, apart.destination)] == [[], []]


def test_what_a_venue_takes_on_the_way_is_the_difference_in_words(
    apart: Apart, waiting: Transfer, operator: User, checker: User
) -> None:
    apart.moved_there("12.5", arriving="12.1")
    agree(say(waiting, operator), waiting, checker)
    assert ticked(waiting).state == State.SETTLED
    after = timezone.now() + CALM + timedelta(seconds=1)
    apart.read(after)
    found = match.match(reference=waiting.reference, now=lambda: after + timedelta(seconds=1))
    assert found is not None
    assert not found.agrees
    there = apart.destination
    assert found.difference == f"{there.account}: expected +12.5 {there.asset}, changed by +12.1"
    assert Movement.objects.get().rest == Decimal("-0.4")


def test_the_clock_takes_it_all_the_way(apart: Apart, waiting: Transfer, operator: User, checker: User) -> None:
    apart.moved_there("12.5")
    agree(say(waiting, operator), waiting, checker)
    tasks.settle_connection(waiting.connection_id)
    waiting.refresh_from_db()
    assert waiting.state == State.SETTLED


def test_both_logins_are_read_when_it_has_settled_and_the_desk_is_not(
    waiting: Transfer,
    operator: User,
    checker: User,
    rung: list[tuple[str, list[int]]],
    django_capture_on_commit_callbacks: object,
) -> None:
    agree(say(waiting, operator), waiting, checker)
    rung.clear()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        ticked(waiting)
    read = {args[0] for name, args in rung if name == "treasury.refresh_connection"}
    assert read == {waiting.source.connection_id, waiting.destination.connection_id}


# -- drafting ------------------------------------------------------------------------------------------------


def test_without_a_desk_no_money_moves_between_two_connections(apart: Apart, maker: User) -> None:
    with pytest.raises(draft.Invalid) as raised:
        draft_of(apart, maker)
    (sentence,) = raised.value.problems.values()
    assert set(raised.value.problems) == {"destination"}
    assert sentence.endswith("Connections, Connect a venue, By hand.")
    assert "no venue moves money to another" in sentence


def test_the_oldest_desk_carries_it_and_a_desks_own_accounts_go_over_their_own(
    apart: Apart, desk: Connection, operator: User, operator2: User
) -> None:
    newer = hands.desk("Another desk")
    here, there = apart.source.account, apart.destination.account
    assert by_hand.connection_for(here, there) == desk
    cold = hands.account_of(newer, operator, operator2)
    assert by_hand.connection_for(here, cold) == by_hand.connection_for(cold, here) == newer
    assert by_hand.connection_for(cold, hands.account_of(newer, operator, operator2, "cold-2")) == newer
    assert by_hand.connection_for(here, here) == here.connection


def test_an_account_of_another_connection_has_one_name_in_the_instruction(
    apart: Apart, desk: Connection, maker: User
) -> None:
    transfer = draft_of(apart, maker)
    submit.submit(reference=transfer.reference, maker=maker, at=timezone.now())
    transfer.refresh_from_db()
    words = json.loads(transfer.instruction or "")
    for side, account in (("source", transfer.source), ("destination", transfer.destination)):
        login = account.connection
        assert words[side] == f"{login.venue}/{login.environment}/{login.login}/{account.address}"
    assert (words["connection"], words["venue"], words["v"]) == (desk.name, desk.venue, 1)
    login = Connection(pk=-1, venue="v", environment="e", login="a/b%")
    strange = Account(connection=login, address="c/d")
    assert instruction.address_of(strange, desk) == "v/e/a%2Fb%25/c/d"


def test_an_address_that_looks_like_another_connections_account_is_not_typed_in(
    desk: Connection, operator: User, operator2: User
) -> None:
    for address, words in ((f"{names()[0]}/mainnet/1/UNIFIED", "begin with"), ("", "address"), (" x", "address")):
        with pytest.raises(connections.NotProposed, match=words):
            hands.account_of(desk, operator, operator2, address)
    kind = connections.SetUp("cold-9", "Wallet", quiet=False, kind="no such kind")
    with pytest.raises(connections.NotProposed, match="kind of account"):
        connections.propose_set_up(connection=desk, accounts=[kind], reason="x", by=operator, at=timezone.now())
    assert hands.account_of(desk, operator, operator2, "m/44/0").address == "m/44/0"


def test_an_asset_that_the_other_venue_does_not_list_is_refused_in_any_spelling_but_its_own(
    apart: Apart, desk: Connection, maker: User
) -> None:
    there = apart.destination.account
    other = there.connection.accounts.exclude(pk=there.pk).first()
    route = there.routes_out.create(destination=other, assets=["XYZ"], read_at=timezone.now())
    Balance.objects.filter(account__connection=there.connection).delete()
    with pytest.raises(draft.Invalid, match="lists no asset called"):
        draft_of(apart, maker)
    route.assets = [apart.source.asset.swapcase()]
    route.save()
    assert draft_of(apart, maker).connection == desk
    route.delete()
    assert draft_of(apart, maker).connection == desk, "what is not known forbids nothing"


# -- what holds it -------------------------------------------------------------------------------------------


def test_a_stop_on_either_side_or_on_the_desk_holds_it_and_counts_it(
    apart: Apart, desk: Connection, maker: User, checker: User, checker2: User, operator: User, operator2: User
) -> None:
    transfer = approved(draft_of(apart, maker), checker, checker2)
    for connection in (apart.source.connection, apart.destination.connection, desk):
        for scope in ({"connection": connection}, {"venue": connection.venue}):
            order = stops.stop(reason="drill", by=operator, at=timezone.now(), **scope)  # type: ignore[arg-type]
            assert stops.standing_for(transfer) == order
            assert stops.held_by([order]) == [1]
            Transfer.objects.filter(pk=transfer.pk).update(due_at=timezone.now())
            assert asked(transfer).state == State.APPROVED
            assert "is stopped since" in transfer.held
            release(order, operator, operator2)
    assert asked(transfer).state == State.CONFIRMING


def test_a_stop_on_a_venue_that_it_does_not_touch_holds_nothing(
    apart: Apart, desk: Connection, maker: User, checker: User, checker2: User, operator: User
) -> None:
    mine = {apart.source.connection.venue, apart.destination.connection.venue}
    other = next(name for name in names() if name not in mine)
    order = stops.stop(venue=other, reason="drill", by=operator, at=timezone.now())
    transfer = approved(draft_of(apart, maker), checker, checker2)
    assert stops.held_by([order]) == [0]
    assert asked(transfer).state == State.CONFIRMING


def test_before_it_is_asked_for_the_sources_own_venue_is_read(
    apart: Apart, desk: Connection, maker: User, checker: User, checker2: User
) -> None:
    transfer = approved(draft_of(apart, maker), checker, checker2)
    Balance.objects.update(observed_at=timezone.now() - timedelta(hours=1))
    CallWindow.objects.update(taken=[])
    apart.source.simulator.set_balance(apart.source.account.address, apart.source.asset, "3")
    assert asked(transfer).state == State.SUBMITTED
    assert "can be moved" in transfer.outcome
    assert Balance.objects.get(account=apart.source.account, asset=apart.source.asset).total == 3


def test_what_waits_to_be_done_counts_towards_the_days_limit(
    apart: Apart, waiting: Transfer, maker: User, checker: User, checker2: User
) -> None:
    second = approved(draft_of(apart, maker, "10"), checker, checker2)
    set_policy(limits=[{"of": "connection", "most": "20"}])
    assert asked(second).state == State.APPROVED
    assert "would pass the limit" in second.held


def test_what_waits_for_longer_than_a_day_still_counts_towards_the_days_limit(
    waiting: Transfer, apart: Apart, maker: User, checker: User, checker2: User
) -> None:
    asleep("UPDATE treasury_attempt SET claimed_at = claimed_at - interval '25 hours'")
    second = approved(draft_of(apart, maker, "10"), checker, checker2)
    set_policy(limits=[{"of": "connection", "most": "20"}])
    second = asked(second)
    assert second.state == State.APPROVED, "both may be done today"
    assert second.due_at is not None
    assert timedelta(0) < second.due_at - timezone.now() <= attempts.HELD_AGAIN, "nobody knows when that ends"


def test_the_days_limit_counts_an_asset_in_any_spelling(
    wallets: list[Account], maker: User, checker: User, checker2: User
) -> None:
    upper, lower, third = wallets
    assert asked(ready(upper, third, "15", maker, checker, checker2)).state == State.CONFIRMING
    second = ready(lower, third, "16", maker, checker, checker2)
    set_policy(limits=[{"of": "connection", "assets": ["USDT"], "most": "20"}])
    second = asked(second)
    assert (second.asset, second.state) == ("usdt", State.APPROVED)
    assert "would pass the limit" in second.held


def test_two_alike_in_two_spellings_do_not_wait_together(
    wallets: list[Account], maker: User, checker: User, checker2: User
) -> None:
    upper, lower, third = wallets
    first = asked(ready(upper, third, "15", maker, checker, checker2))
    assert first.reference in asked(ready(lower, third, "15", maker, checker, checker2)).held


def test_two_alike_do_not_wait_together(
    apart: Apart, waiting: Transfer, maker: User, checker: User, checker2: User
) -> None:
    """Nobody could say which of them somebody did."""
    twin = approved(draft_of(apart, maker), checker, checker2)
    assert asked(twin).state == State.APPROVED
    assert waiting.reference in twin.held


# -- what people say -----------------------------------------------------------------------------------------


def test_neither_the_proposer_nor_the_maker_nor_a_bystander_confirms(
    waiting: Transfer, maker: User, checker: User, checker2: User, operator: User, auditor: User
) -> None:
    with pytest.raises(changes.MayNotChange):
        say(waiting, auditor)
    change = say(waiting, checker)
    for person in (checker, operator, auditor, maker):
        with pytest.raises(changes.MayNotChange):
            agree(change, waiting, person)
    give(maker, CHECKERS)  # a maker who may decide on others' transfers
    with pytest.raises(changes.MayNotChange, match="You drafted this transfer"):
        agree(change, waiting, maker)
    agree(change, waiting, checker2)
    assert ticked(waiting).state == State.SETTLED


def test_done_wants_something_that_shows_it_and_the_reference_typed(waiting: Transfer, operator: User) -> None:
    with pytest.raises(changes.NotSaid, match="Say by what it can be seen"):
        say(waiting, operator, files=[])
    with pytest.raises(changes.NotSaid, match=f"Type {waiting.reference}"):
        say(waiting, operator, typed="TR-999999")
    change = say(waiting, operator, files=[], record="0xabc")
    assert change.words["record"] == "0xabc"
    with pytest.raises(changes.NotWaiting):
        say(waiting, operator, done=False)


def test_one_record_of_a_venue_proves_one_transfer(
    wallets: list[Account], maker: User, maker2: User, operator: User, checker: User, checker2: User
) -> None:
    upper, lower, _ = wallets
    first, second = (asked(ready(upper, lower, amount, maker, checker, checker2)) for amount in ("10", "11"))
    both = [say(one, by, files=[], record="0xabc") for one, by in ((first, operator), (second, maker2))]
    agree(both[0], first, checker)
    with pytest.raises(access.NotNow, match=f"Nothing was changed. 0xabc shows {first.reference} already"):
        agree(both[1], second, checker)
    both[1].refresh_from_db()
    assert both[1].is_open
    changes.withdraw(change_id=both[1].pk, by=maker2, at=timezone.now())
    with pytest.raises(changes.NotSaid, match=f"0xABC shows {first.reference} already"):
        say(second, operator, record="0xABC")
    assert ticked(first).state == State.SETTLED
    agree(say(second, operator, record="0xdef"), second, checker)
    assert ticked(second).state == State.SETTLED


@pytest.mark.parametrize("by", ["look-up", "call", "resolution"])
def test_a_record_that_proves_a_venues_own_transfer_proves_none_by_hand(
    waiting: Transfer, apart: Apart, maker: User, operator: User, by: str
) -> None:
    here, at = apart.source.account, timezone.now()
    way = next(one for one in here.connection.accounts.exclude(pk=here.pk) if venues.has_route(here, one))
    own = draft.draft(words=draft.Words(here, way, apart.source.asset, "1", "Within it"), maker=maker, at=at)
    sql("SET LOCAL session_replication_role = replica")
    if by == "look-up":
        LookUp.objects.create(transfer=own, at=at, state="DONE", searched=True, found=True, record="77")
    elif by == "call":
        made: dict[str, Any] = dict.fromkeys(("claimed_at", "send_before", "call_ends_at", "concluded_at"), at)
        own.attempts.create(number=1, kind="send", worker="w", outcome=Outcome.SETTLED, record="77", **made)
    else:
        change = changes.propose(
            kind=resolve.RESOLVE, subject=own.subject, words={}, reason="It moved", by=operator, at=at
        )
        Resolution.objects.create(transfer=own, moved=True, record="77", change=change, at=at)
    sql("SET LOCAL session_replication_role = DEFAULT")
    with pytest.raises(changes.NotSaid, match=f"77 shows {own.reference} already"):
        say(waiting, operator, record="77")
    assert say(waiting, operator, record="78").is_open


def test_the_same_id_at_other_venues_is_another_record(
    wallets: list[Account], waiting: Transfer, maker: User, operator: User, checker: User, checker2: User
) -> None:
    upper, lower, _ = wallets
    other = asked(ready(upper, lower, "10", maker, checker, checker2))
    agree(say(other, operator, record="1"), other, checker)
    assert say(waiting, operator, record="1").is_open


def test_not_done_it_ends_as_failed_and_may_be_drafted_again(
    waiting: Transfer, maker: User, operator: User, checker: User
) -> None:
    agree(say(waiting, operator, done=False), waiting, checker)
    assert waiting.state == State.FAILED
    assert waiting.outcome == "Nothing moved. Admin Person and Checker Person say that it was not done."
    assert waiting.attempts.count() == 1
    assert draft.draft_again(reference=waiting.reference, maker=maker, at=timezone.now()).state == State.DRAFT


def test_what_two_people_said_is_said_once(waiting: Transfer, operator: User, checker: User) -> None:
    agree(say(waiting, operator), waiting, checker)
    with pytest.raises(access.NotNow, match="Two people have said already"):
        say(waiting, operator, done=False)
    ticked(waiting)
    with pytest.raises(access.NotNow, match="settled"):
        say(waiting, operator, done=False)


def test_a_declined_word_is_none(waiting: Transfer, operator: User, checker: User) -> None:
    change = say(waiting, operator)
    changes.decline(change_id=change.pk, by=checker, reason="The statement is of another day", at=timezone.now())
    assert ticked(waiting, timedelta(hours=1)).state == State.CONFIRMING
    assert by_hand.said_done(waiting) is None
    assert say(waiting, operator).is_open


def test_nobody_cancels_what_somebody_may_be_doing(waiting: Transfer, maker: User, operator: User) -> None:
    for person in (maker, operator):
        with pytest.raises(access.NotNow, match="record that it was not done"):
            cancel.cancel(reference=waiting.reference, by=person, at=timezone.now())


def test_of_what_a_venue_sends_itself_nobody_says_that_it_was_done(
    apart: Apart, desk: Connection, maker: User, operator: User
) -> None:
    source = apart.source.account
    way = next(one for one in source.connection.accounts.exclude(pk=source.pk) if venues.has_route(source, one))
    words = draft.Words(source, way, apart.source.asset, "1", "Within one venue")
    transfer = draft.draft(words=words, maker=maker, at=timezone.now())
    assert transfer.connection == source.connection
    with pytest.raises(access.NotNow, match="not moved by hand"):
        say(transfer, operator)


def test_those_who_can_do_it_are_told_and_the_message_names_no_amount(
    waiting: Transfer, maker: User, operator: User
) -> None:
    notice = Notice.objects.get(kind="transfer.confirm")
    assert "is to be done by hand" in notice.title
    assert "Nothing moved yet." in notice.text
    assert "12.5" not in notice.text


# -- a restore -----------------------------------------------------------------------------------------------


@pytest.fixture
def forgotten(wallets: list[Account], maker: User, checker: User, checker2: User) -> Transfer:
    """The backup knew it as approved; somebody may have been asked, and have done it, in the time that is lost."""
    transfer = ready(*wallets[:2], "10", maker, checker, checker2)
    stops.stop(everything=True, reason="restored", by=stops.RESTORE, at=timezone.now())
    return transfer


def looked_back(transfer: Transfer) -> Transfer:
    settle.look_back(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    return transfer


def test_after_a_restore_nobody_says_nothing_moved_of_what_people_may_have_done(
    forgotten: Transfer, maker: User, operator: User, checker: User
) -> None:
    assert forgotten.expires_at is not None
    over = forgotten.expires_at + timedelta(seconds=1)
    with pytest.raises(access.NotNow, match="before its venue was asked"):
        cancel.expire(reference=forgotten.reference, at=over)
    ended = cancel.expire(reference=looked_back(forgotten).reference, at=over)
    assert ended.state == State.EXPIRED
    assert ended.outcome == (
        "Whether it moved before, this database cannot know. Its time for approval and sending ran out."
    )
    told = Notice.objects.get(kind="transfer.expire").text
    assert "this database cannot know" in told
    assert "Nothing moved" not in told
    assert [risk.transfer for risk in exposure.risks(over)] == [forgotten], "money at risk until two people have said"
    with pytest.raises(access.NotNow, match="may have moved after all"):
        draft.draft_again(reference=forgotten.reference, maker=maker, at=over)
    against = Contradiction.objects.get()
    assert against.words.endswith("has no records of it that can be searched: look at the venue's own screen first")
    typed = forgotten.reference
    said = contradictions.propose_close(
        contradiction_id=against.pk, moved=False, reason="Both wallets", typed=typed, by=operator, at=over, files=[]
    )
    contradictions.confirm_close(change_id=said.pk, by=checker, digest=said.digest, typed=typed, at=over)
    assert draft.draft_again(reference=forgotten.reference, maker=maker, at=over).state == State.DRAFT


def test_after_a_restore_whoever_ends_it_does_not_say_that_nothing_moved(
    forgotten: Transfer, maker: User, operator: User, operator2: User, checker: User
) -> None:
    looked_back(forgotten)
    with transaction.atomic():
        ended = cancel.cancel(reference=forgotten.reference, by=maker, at=timezone.now())
        assert ended.outcome == "Whether it moved before, this database cannot know. Maker Person cancelled it."
        transaction.set_rollback(True)
    release(stops.standing().get(), operator, operator2)
    Transfer.objects.filter(pk=forgotten.pk).update(due_at=timezone.now())
    sent_back = asked(forgotten)
    assert sent_back.state == State.SUBMITTED
    told = {one.text for one in Notice.objects.filter(kind="transfer.send_back")}
    assert len(told) == 1
    assert "this database cannot know" in told.pop()
    rejected = approve.reject(
        reference=forgotten.reference,
        checker=checker,
        digest=forgotten.digest or "",
        round=sent_back.round,
        factor="password",
        reason="It was done",
        at=timezone.now(),
    )
    assert rejected.outcome.startswith("Whether it moved before, this database cannot know. Checker Person rejected it")
    assert Contradiction.objects.filter(transfer=forgotten, closed_at=None).exists()


def test_after_a_restore_a_claim_that_comes_too_late_sends_it_back_and_ends_nothing(
    forgotten: Transfer, operator: User, operator2: User
) -> None:
    looked_back(forgotten)
    release(stops.standing().get(), operator, operator2)
    assert forgotten.expires_at is not None
    over = forgotten.expires_at + timedelta(seconds=1)
    assert dispatch.claim(reference=forgotten.reference, at=over) is None
    forgotten.refresh_from_db()
    assert forgotten.state == State.SUBMITTED
    assert forgotten.outcome.startswith("Not sent again. Whether it moved before, this database cannot know.")


def test_what_people_approve_anew_after_a_restore_ends_as_ever(
    forgotten: Transfer, maker: User, operator: User, operator2: User, checker: User, checker2: User
) -> None:
    """They have read that it may have been done, and looked."""
    looked_back(forgotten)
    release(stops.standing().get(), operator, operator2)
    Transfer.objects.filter(pk=forgotten.pk).update(due_at=timezone.now())
    again = approved(asked(forgotten), checker, checker2)
    assert cancel.cancel(reference=again.reference, by=maker, at=timezone.now()).outcome.startswith("Nothing moved.")
    assert not Contradiction.objects.exists()


# -- no deadline ends it -------------------------------------------------------------------------------------


def test_past_its_deadline_it_is_money_at_risk_and_never_expires(
    apart: Apart, waiting: Transfer, operator: User, checker: User
) -> None:
    assert exposure.risks(timezone.now()) == []
    assert not queries.is_overdue(waiting, timezone.now())
    for after in (OVER, timedelta(days=40)):
        assert ticked(waiting, after).state == State.CONFIRMING, "somebody may have done it"
    late = timezone.now() + OVER
    (risk,) = exposure.risks(late)
    deadline = by_hand.done_by(waiting)
    assert (risk.transfer, risk.why, risk.since) == (waiting, exposure.Why.OVERDUE, deadline)
    assert "two people have not said" in exposure.known(risk, None)
    assert exposure.read(late).held[apart.source.account.pk, apart.source.asset].at_risk == waiting.amount
    reminders.doubts(late + timedelta(hours=1))
    assert "nobody has said whether it was done" in Notice.objects.filter(kind="transfer.doubt").latest("pk").title

    Transfer.objects.filter(pk=waiting.pk).update(due_at=timezone.now())
    agree(say(waiting, operator, at=late), waiting, checker, at=late)
    assert ticked(waiting, OVER).state == State.SETTLED, "however late, it is recorded"


def test_no_stop_no_limit_and_no_hour_undoes_what_was_done(waiting: Transfer, operator: User, checker: User) -> None:
    stops.stop(everything=True, reason="drill", by=operator, at=timezone.now())
    set_policy(limits=[{"of": "connection", "most": "1"}])
    agree(say(waiting, operator), waiting, checker)
    assert waiting.expires_at is not None
    assert ticked(waiting, timedelta(days=3)).state == State.SETTLED


def test_other_words_than_the_approved_ones_are_never_recorded(
    waiting: Transfer, operator: User, checker: User
) -> None:
    agree(say(waiting, operator), waiting, checker)
    asleep("UPDATE treasury_account SET address = address || '-other'")
    assert ticked(waiting).state == State.CONFIRMING
    assert AuditEntry.objects.filter(subject=waiting.subject, action="alarm.raise").exists()
    assert stops.standing().filter(connection=waiting.connection).exists()


def test_a_repeat_that_fails_leaves_a_doubt_and_never_goes_back_to_be_sent(
    waiting: Transfer, operator: User, checker: User, checker2: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By two people's word it moved: whatever a connector or a lost key says, nobody is asked to do it again."""
    agree(say(waiting, operator), waiting, checker)
    with monkeypatch.context() as for_now:
        cannot = attempts.NotOurTurn("Not sent. Nothing moved. The key is gone.")
        for_now.setattr(attempts, "call", lambda *_, **__: cannot)
        assert ticked(waiting).state == State.DISPATCHING
    assert waiting.attempts.last().outcome == Outcome.UNCERTAIN
    settle.settle(reference=waiting.reference, now=lambda: timezone.now() + timedelta(minutes=1))
    later = timezone.now() + timedelta(minutes=2)
    said = resolve.propose(
        reference=waiting.reference, moved=True, reason="It is there", typed=waiting.reference, by=operator, at=later
    )
    resolve.confirm(change_id=said.pk, by=checker2, digest=said.digest, typed=waiting.reference, at=later)
    waiting.refresh_from_db()
    assert waiting.state == State.SETTLED


# -- what no API reads ---------------------------------------------------------------------------------------


def test_between_two_typed_accounts_and_matched_by_what_is_typed_afterwards(
    desk: Connection, maker: User, checker: User, checker2: User, operator: User, operator2: User
) -> None:
    here = hands.account_of(desk, operator, operator2, "cold-1")
    there = hands.account_of(desk, operator, operator2, "cold-2", quiet=True)
    before = timezone.now() - timedelta(minutes=5)
    hands.stated(here, "100", operator, checker, seen_at=before)
    hands.stated(there, "5", operator, checker, seen_at=before)
    words = draft.Words(here, there, "USDT", "12.5", "To the other wallet")
    transfer = approved(draft.draft(words=words, maker=maker, at=timezone.now()), checker, checker2)
    assert transfer.connection == desk
    assert json.loads(transfer.instruction or "")["source"] == "cold-1"
    assert asked(transfer).state == State.CONFIRMING, transfer.held
    agree(say(transfer, operator), transfer, checker)
    assert ticked(transfer).state == State.SETTLED
    Transfer.objects.filter(pk=transfer.pk).update(changed_at=timezone.now() - timedelta(minutes=1))
    hands.stated(here, "87.5", operator, checker)
    hands.stated(there, "17.5", operator, checker)
    found = match.match(reference=transfer.reference, now=timezone.now)
    assert found is not None
    assert (found.basis, found.agrees) == (Basis.BALANCES, True), found.difference
    assert not Movement.objects.exists()
    assert not stops.standing().exists(), "the quiet account was moved by us alone"


def test_a_typed_balance_is_good_for_as_long_as_its_venue_says(
    desk: Connection, maker: User, checker: User, checker2: User, operator: User, operator2: User
) -> None:
    here = hands.account_of(desk, operator, operator2, "cold-1")
    there = hands.account_of(desk, operator, operator2, "cold-2")
    hands.stated(here, "100", operator, checker, seen_at=timezone.now() - timedelta(days=2))
    words = draft.Words(here, there, "USDT", "1", "To the other wallet")
    transfer = approved(draft.draft(words=words, maker=maker, at=timezone.now()), checker, checker2)
    assert guards.objection(transfer, at=timezone.now()) is None
    late = timezone.now() + timedelta(days=6)
    held = guards.readable(transfer, late)
    assert isinstance(held, guards.Hold)
    assert "state it anew" in held.words


def test_nobody_reads_a_desk(desk: Connection, operator: User, operator2: User, checker: User) -> None:
    """An empty answer would make each typed number a zero."""
    wallet = hands.account_of(desk, operator, operator2)
    hands.stated(wallet, "100", operator, checker)
    assert not ask(connection=desk, by=operator, at=timezone.now())
    with pytest.raises(NotRead):
        refresh(connection=desk, at=timezone.now())
    tasks.refresh_connection(desk.pk)
    assert wallet.balances.get().total == 100


def test_the_clock_never_wakes_a_reader_for_a_desk(desk: Connection, rung: list[tuple[str, list[int]]]) -> None:
    tasks.tick_refresh()
    assert rung == []


# -- the database's own opinion ------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_repeat_is_refused_by_the_database_without_two_peoples_word(
    waiting: Transfer, maker: User, operator: User, checker: User
) -> None:
    """Past all of our own code: the right state, and an attempt written by hand."""
    with refused(NOT_ALLOWED, "two people say that it was done by hand"):
        steal(waiting)
    change = say(waiting, operator)
    with refused(NOT_ALLOWED, "two people say that it was done by hand"):
        steal(waiting)
    with guards_asleep():
        sql(
            "UPDATE treasury_change SET ruling = 'applied', decided_by_id = %s, decided_at = now() WHERE id = %s",
            maker.pk,
            change.pk,
        )
    with refused(NOT_ALLOWED, "two people say that it was done by hand"):
        steal(waiting)
    with guards_asleep():
        sql(
            "UPDATE treasury_change SET decided_by_id = %s, words = jsonb_set(words, '{done}', 'false') WHERE id = %s",
            checker.pk,
            change.pk,
        )
    with refused(NOT_ALLOWED, "two people say that it was done by hand"):
        steal(waiting)
    change.refresh_from_db()
    assert change.ruling == Ruling.APPLIED
    with guards_asleep():
        sql("UPDATE treasury_change SET words = jsonb_set(words, '{done}', 'true') WHERE id = %s", change.pk)
    attempt = confirm.claim_repeat(reference=waiting.reference, at=timezone.now(), among=guards.DONE_BY_HAND)
    assert attempt is not None


def steal(transfer: Transfer) -> None:
    """As ``confirm`` does, without asking whether anybody said anything, and from past the step that asks it too."""
    at = timezone.now()
    sql("SET CONSTRAINTS ALL DEFERRED")
    asleep("UPDATE treasury_transfer SET state = 'DISPATCHING'")
    held = Transfer.objects.select_for_update().get(pk=transfer.pk)
    attempts.enter(held, kind=attempts.Kind.REPEAT, at=at, action="transfer.repeat")


@pytest.mark.django_db(transaction=True)
def test_the_verb_claims_no_repeat_without_two_peoples_word_either(waiting: Transfer, operator: User) -> None:
    say(waiting, operator)
    assert confirm.claim_repeat(reference=waiting.reference, at=timezone.now(), among=guards.DONE_BY_HAND) is None


@pytest.mark.django_db(transaction=True)
def test_a_transfer_between_two_connections_is_never_one_venues_own(
    apart: Apart, desk: Connection, maker: User
) -> None:
    transfer = draft_of(apart, maker)
    with refused(NOT_ALLOWED, "its accounts are not of its connection"):
        sql(
            "UPDATE treasury_transfer SET connection_id = %s WHERE id = %s",
            apart.source.connection.pk,
            transfer.pk,
        )


def test_a_desk_is_by_hand_as_its_module_declares(desk: Connection, apart: Apart) -> None:
    assert desk.by_hand
    assert discovery.venue(desk.venue).by_hand
    assert not apart.source.connection.by_hand
