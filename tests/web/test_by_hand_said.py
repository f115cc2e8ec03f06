"""By hand, once somebody has said what was done: nobody is invited again, and the balances have their say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectors.simulators.core import names
from tests.transfers import hands
from tests.transfers.hands import Apart
from tests.web.swap import by_id, page_of
from treasury import venues
from treasury.balances import typed
from treasury.balances.movements import CALM
from treasury.controls import changes
from treasury.models import Connection, Notice, State, Transfer, User
from treasury.transfers import match, submit
from treasury.web import done, sides

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
NEITHER = "Neither balance has changed since it was asked for."
SAID = "It was said to have moved, and the balances do not show it:"


@pytest.fixture
def apart(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Apart]:
    with hands.apart(names()[0], monkeypatch) as found:
        yield found


@pytest.fixture
def desk(db: None) -> Connection:
    return hands.desk("Treasury desk")


@pytest.fixture
def waiting(apart: Apart, desk: Connection, maker: User, checker: User, checker2: User) -> Transfer:
    return hands.asked(hands.approved(hands.draft_of(apart, maker), checker, checker2))


def page(transfer: Transfer) -> str:
    return f"/transfers/{transfer.reference}/"


def words(client: Client, address: str, part: str = "main") -> str:
    return " ".join(by_id(page_of(client.get(address)), part).text_content().split())


def compared(transfer: Transfer, apart: Apart) -> None:
    after = timezone.now() + CALM + timedelta(seconds=1)
    apart.read(after)
    assert match.match(reference=transfer.reference, now=lambda: after + timedelta(seconds=1)) is not None


# -- who may do it ------------------------------------------------------------------------------------------------


def test_whoever_approves_it_reads_that_people_move_it(
    sign_in: SignIn, apart: Apart, desk: Connection, maker: User, checker: User
) -> None:
    transfer = hands.draft_of(apart, maker)
    submit.submit(reference=transfer.reference, maker=maker, at=timezone.now())
    text = words(sign_in(checker), page(transfer))
    assert "After the last approval people move it at the venues' own screens" in text
    assert "It is sent after the last approval" not in text
    for side in (apart.source, apart.destination):
        assert f"{side.account} {side.account.address}" in text


def test_the_task_names_connection_venue_and_address_of_both(
    sign_in: SignIn, apart: Apart, waiting: Transfer, operator: User
) -> None:
    text = words(sign_in(operator), page(waiting), "by-hand")
    for side in (apart.source, apart.destination):
        title = venues.declared(side.connection.venue).title
        assert f"{side.account} {side.account.address} {title}" in text
        assert str(side.account) in words(sign_in(operator), page(waiting), "by-hand").split("Write with it")[1]


@pytest.mark.parametrize(
    ("done", "sentence"),
    [
        (True, "Maker2 Person says that it was done; a checker decides. Do not move it again."),
        (False, "Maker2 Person says that it was not done; a checker decides. Do not move it now."),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_once_somebody_has_said_so_nobody_else_is_invited_to_do_it(
    sign_in: SignIn,
    waiting: Transfer,
    operator: User,
    maker2: User,
    monkeypatch: pytest.MonkeyPatch,
    done: bool,
    sentence: str,
    late: bool,
) -> None:
    client = sign_in(operator)
    assert "somebody may move it by hand" in words(client, page(waiting))
    hands.say(waiting, maker2, done=done)
    if late:
        then = timezone.now() + timedelta(hours=25)
        monkeypatch.setattr("django.utils.timezone.now", lambda: then)
        client = sign_in(operator)
    text = words(client, page(waiting))
    assert sentence in text
    assert "somebody may move it" not in text
    assert "To be done by hand" not in text
    assert "nobody has said whether" not in text


def test_the_heading_says_what_two_people_said(
    sign_in: SignIn, waiting: Transfer, operator: User, checker: User
) -> None:
    client = sign_in(operator)
    change = hands.say(waiting, operator, done=False)
    assert "Done by hand, or not" in words(client, page(waiting), "by-hand-heading")
    hands.agree(change, waiting, checker)
    assert words(client, page(waiting), "by-hand-heading") == "Not done by hand"


# -- what the balances say ----------------------------------------------------------------------------------------


def test_whoever_decides_is_warned_that_no_balance_has_changed(
    sign_in: SignIn, apart: Apart, waiting: Transfer, operator: User, checker: User
) -> None:
    change = hands.say(waiting, operator)
    client = sign_in(checker)
    part = f"change-{change.pk}"
    for address in ("/changes/", page(waiting)):
        assert "Neither balance has been read since it was asked for." in words(client, address, part)
    apart.read()
    for address in ("/changes/", page(waiting)):
        shown = words(client, address, part)
        assert NEITHER in shown
        assert "If it moved" in shown, "both sides are there"
        assert "Confirm: it was done" in shown, "it is a warning, and no refusal"
        assert words(client, address).count("If it moved") == 1, "and once"
    apart.source.change(-waiting.amount)
    apart.read()
    here, there = apart.source.account, apart.destination.account
    assert f"Only one balance has changed since it was asked for: {there} has not." in words(client, "/changes/", part)
    assert str(here) in words(client, "/changes/", part)
    apart.destination.change(waiting.amount)
    apart.read()
    assert "since it was asked for" not in words(client, "/changes/", part)


def test_whoever_decides_that_it_was_not_done_is_warned_when_it_shows(
    sign_in: SignIn, apart: Apart, waiting: Transfer, operator: User, checker: User
) -> None:
    hands.say(waiting, operator, done=False)
    apart.read()
    client = sign_in(checker)
    assert "since it was asked for" not in words(client, "/changes/")
    apart.moved_there("12.5")
    apart.read()
    assert "Both balances have changed by just that amount since it was asked for." in words(client, "/changes/")


def test_what_settled_and_shows_in_no_balance_says_so_and_is_told_once(
    sign_in: SignIn, apart: Apart, waiting: Transfer, operator: User, checker: User, checker2: User
) -> None:
    client = sign_in(operator)
    hands.agree(hands.say(waiting, operator), waiting, checker)
    assert hands.ticked(waiting).state == State.SETTLED
    assert SAID not in words(client, page(waiting)), "nothing was compared yet"
    for _ in range(2):
        compared(waiting, apart)
    shown = page_of(client.get(page(waiting)))
    text = " ".join(shown.text_content().split())
    assert f"{SAID} {waiting.source}: expected −12.5" in text
    assert shown.xpath("//article//a[@href='/reconciliation/#not-matching']")
    told = Notice.objects.filter(kind="transfer.match")
    assert sorted(one.to.partition("@")[0] for one in told) == ["admin", "checker", "checker2"]
    for one in told:
        assert one.subject == waiting.subject
        assert one.text.startswith("It was said to have moved.")
        said = f"{one.title} {one.text}"
        secret = (str(waiting.source), str(waiting.destination), "12.5", waiting.asset, "Person", "Login at")
        assert not any(word in said for word in secret)


def test_what_shows_in_both_balances_needs_no_warning_and_no_letter(
    sign_in: SignIn, apart: Apart, waiting: Transfer, operator: User, checker: User
) -> None:
    apart.moved_there("12.5")
    hands.agree(hands.say(waiting, operator), waiting, checker)
    hands.ticked(waiting)
    compared(waiting, apart)
    assert SAID not in words(sign_in(operator), page(waiting))
    assert not Notice.objects.filter(kind="transfer.match").exists()


# -- a balance that is stated -------------------------------------------------------------------------------------


def test_whoever_confirms_a_stated_balance_sees_the_one_before_and_the_difference(
    sign_in: SignIn, desk: Connection, operator: User, operator2: User, maker: User, checker: User
) -> None:
    wallet = hands.account_of(desk, operator, operator2)
    client, at = sign_in(checker), timezone.now()

    def state(total: str, minutes: int) -> str:
        stated = typed.Stated(wallet, "USDT", total, at - timedelta(minutes=minutes))
        change = typed.propose(stated=stated, reason="Seen", files=[hands.PAPER], by=maker, at=timezone.now())
        return f"change-{change.pk}"

    def settle() -> None:
        (change,) = changes.waiting()
        typed.confirm(change_id=change.pk, by=checker, digest=change.digest, at=timezone.now())

    first = state("1000", 30)
    assert "Nothing was known of it before." in words(client, "/changes/", first)
    settle()
    second = state("940.5", 20)
    sentence = "Before that it held 1\u202f000 USDT, at "
    assert sentence in words(client, "/changes/", second).replace("1 000", "1\u202f000")
    assert ": a change of −59.5 USDT." in words(client, "/changes/", second)
    settle()
    assert ": a change of −59.5 USDT." in words(client, "/changes/", second), "by the log, once it is applied"
    assert ": the same." in words(client, "/changes/", state("940.50", 10))


def test_both_sides_of_moves_by_hand_take_two_queries_however_many_wait(
    apart: Apart, desk: Connection, maker: User, checker: User, checker2: User
) -> None:
    amounts = ("1", "2", "3", "4")
    for amount in amounts:
        hands.asked(hands.approved(hands.draft_of(apart, maker, amount), checker, checker2))
    apart.read()
    moves = {one.pk: one for one in Transfer.objects.select_related("source__connection", "destination__connection")}
    with CaptureQueriesContext(database) as captured:
        found = sides.of_moves_by_hand(moves)
    assert len(captured) == 2
    for number, transfer in moves.items():
        assert found[number] == done.of(transfer, maker, timezone.now()).sides  # type: ignore[union-attr]
        assert [side.change for side in found[number]] == [0, 0]
    assert len(found) == len(amounts)
