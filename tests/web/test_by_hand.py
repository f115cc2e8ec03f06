"""By hand on the pages: drafted between two venues, shown as a task, said so by one, confirmed by another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from connectors.simulators.core import names
from tests.house import put_forward
from tests.transfers import hands
from tests.transfers.hands import Apart
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.balances import typed
from treasury.controls import first_looks, stops
from treasury.models import Account, Balance, Connection, State, Transfer, User
from treasury.transfers import by_hand

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
OVER = timedelta(hours=25)


@pytest.fixture
def apart(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Apart]:
    with hands.apart(names()[1], monkeypatch) as found:
        yield found


@pytest.fixture
def desk(db: None) -> Connection:
    return hands.desk()


@pytest.fixture
def waiting(apart: Apart, desk: Connection, maker: User, checker: User, checker2: User) -> Transfer:
    return hands.asked(hands.approved(hands.draft_of(apart, maker), checker, checker2))


@pytest.fixture
def wallet(desk: Connection, operator: User, operator2: User) -> Account:
    return hands.account_of(desk, operator, operator2)


def page(transfer: Transfer) -> str:
    return f"/transfers/{transfer.reference}/"


def words(client: Client, address: str) -> str:
    return " ".join(page_of(client.get(address)).text_content().split())


def form(transfer: Transfer, **more: Any) -> dict[str, Any]:
    said = {"done": "yes", "reason": "Sent at the bank", "record": "", "typed": transfer.reference}
    return said | {"files": [SimpleUploadedFile("proof.txt", b"executed")]} | more


# -- the draft -----------------------------------------------------------------------------------------------


def test_the_form_offers_accounts_of_other_venues_and_says_that_people_move_it(
    sign_in: SignIn, apart: Apart, desk: Connection, maker: User
) -> None:
    client, here, there = sign_in(maker), apart.source.account, apart.destination.account
    chosen = page_of(client.get("/transfers/new/", {"source": here.pk, "destination": there.pk}))
    assert str(there.pk) in chosen.xpath("//select[@name='destination']//option/@value")
    assert "No venue moves this: people do, over By hand." in chosen.get_element_by_id("draft-moves").text_content()
    said = {"source": here.pk, "destination": there.pk, "asset": apart.source.asset, "amount": "5", "reason": "x"}
    assert client.post("/transfers/new/", said).status_code == 303
    assert Transfer.objects.get().connection == desk
    assert "By hand" in words(client, page(Transfer.objects.get()))


def test_without_a_desk_the_form_says_how_one_is_got(sign_in: SignIn, apart: Apart, maker: User) -> None:
    here, there = apart.source.account, apart.destination.account
    client = sign_in(maker)
    shown = page_of(client.get("/transfers/new/", {"source": here.pk}))
    assert str(there.pk) not in shown.xpath("//select[@name='destination']//option/@value")
    said = {"source": here.pk, "destination": there.pk, "asset": apart.source.asset, "amount": "5", "reason": "x"}
    answer = client.post("/transfers/new/", said)
    assert answer.status_code == 422
    assert "Connect a venue, By hand" in answer.content.decode()


# -- the task ------------------------------------------------------------------------------------------------


def test_two_people_say_that_it_was_done(
    sign_in: SignIn, waiting: Transfer, operator: User, checker: User, auditor: User
) -> None:
    client = sign_in(operator)
    shown = words(client, page(waiting))
    assert "To be done by hand" in shown
    for account in (waiting.source, waiting.destination):
        assert f"{account} {account.address}" in shown
    assert "take it as moving" in shown
    assert "Cancel transfer" not in shown
    assert client.post(f"{page(waiting)}by-hand/", form(waiting)).status_code == 303
    change = put_forward().get(kind=by_hand.DONE)
    assert [one.name for one in change.attachments.all()] == ["proof.txt"]
    assert "Only makers may" not in words(sign_in(auditor), page(waiting))

    other = sign_in(checker)
    assert "Confirm: it was done" in words(other, page(waiting))
    assert "Say what was done by hand" in words(other, "/changes/")
    steps = f"{page(waiting)}changes/{change.pk}/confirm/"
    refused = other.post(steps, {"digest": change.digest, "typed": "TR-1"})
    assert refused.status_code == 422
    assert other.post(steps, {"digest": change.digest, "typed": waiting.reference}).status_code == 303
    assert "It is being recorded." in words(other, page(waiting))
    assert hands.ticked(waiting).state == State.SETTLED
    after = words(other, page(waiting))
    assert "It moved, by hand. Admin Person and Checker Person say so." in after
    assert "confirmed what was done by hand" in after
    assert "It was done by hand: the transfer is settled" in after


def test_not_done_it_fails_on_the_page_of_changes(
    sign_in: SignIn, waiting: Transfer, operator: User, checker: User
) -> None:
    sign_in(operator).post(f"{page(waiting)}by-hand/", form(waiting, done="no", files=[]))
    change = put_forward().get(kind=by_hand.DONE)
    said = {"digest": change.digest, "typed": waiting.reference}
    assert sign_in(checker).post(f"/changes/{change.pk}/confirm/", said).status_code == 303
    assert "Nothing moved. Admin Person and Checker Person say that it was not done." in words(
        sign_in(checker), page(waiting)
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"files": [], "record": " "}, "Say by what it can be seen"),
        ({"done": ""}, "Say whether it was done"),
        ({"typed": "TR-1"}, "to confirm that you mean this transfer"),
        ({"reason": " "}, "Say why"),
    ],
)
def test_what_was_typed_stays_beside_the_mistake(
    sign_in: SignIn, waiting: Transfer, operator: User, more: dict[str, Any], sentence: str
) -> None:
    answer = sign_in(operator).post(f"{page(waiting)}by-hand/", form(waiting, **{"record": "0xfeed", **more}))
    assert answer.status_code == 422
    shown = answer.content.decode()
    assert sentence in shown
    assert ('value="0xfeed"' in shown) == ("record" not in more)
    assert ("Sent at the bank</textarea>" in shown) == ("reason" not in more)
    assert not put_forward().filter(kind=by_hand.DONE).exists()


def test_a_swap_shows_what_a_reload_would(sign_in: SignIn, waiting: Transfer, operator: User, still: object) -> None:
    client = sign_in(operator)
    before = page_of(client.get(page(waiting)))
    answer = htmx(client, "post", f"{page(waiting)}by-hand/", form(waiting))
    after = swapped(before, answer, f"transfer-{waiting.reference}")
    assert text_of(after) == text_of(page_of(client.get(page(waiting))))


def test_an_auditor_reads_it_and_is_refused_and_logged(
    sign_in: SignIn, waiting: Transfer, auditor: User, refused: Callable[[], list[tuple[str, str, str]]]
) -> None:
    client = sign_in(auditor)
    task = by_id(page_of(client.get(page(waiting))), "by-hand")
    assert task.xpath(".//form") == []
    assert client.post(f"{page(waiting)}by-hand/", form(waiting)).status_code == 403
    assert ("auditor", by_hand.DONE, waiting.subject) in refused()


def test_past_its_time_it_is_shown_as_money_at_risk_and_nobody_may_resolve_it_otherwise(
    sign_in: SignIn, waiting: Transfer, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = timezone.now() + OVER
    monkeypatch.setattr("django.utils.timezone.now", lambda: late)
    client = sign_in(operator)
    shown = words(client, page(waiting))
    assert "Was it done?" in shown
    assert "We do not know whether it moved: it was to be done by hand" in shown
    assert "Did it move?" not in shown
    assert waiting.reference in by_id(page_of(client.get("/")), "at-risk").text_content()


@pytest.mark.parametrize("late", [False, True])
def test_under_a_stop_the_task_says_that_nobody_moves_it_now(
    sign_in: SignIn, waiting: Transfer, operator: User, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    stops.stop(venue=waiting.source.connection.venue, reason="hacked", by=operator, at=timezone.now())
    at = timezone.now() + (OVER if late else timedelta(0))
    monkeypatch.setattr("django.utils.timezone.now", lambda: at)
    task = by_id(page_of(sign_in(operator).get(page(waiting))), "by-hand")
    text = " ".join(task.text_content().split())
    assert "Do not move it now:" in text
    assert "is stopped since" in text
    assert "If you have moved it already, say so below." in text
    assert "One of you moves it" not in text
    assert ("Its time is over" in text) == late
    assert task.xpath(".//form"), "what was done before the stop can still be said"


def test_evidence_that_was_handed_in_for_another_transfer_is_pointed_at(
    sign_in: SignIn, apart: Apart, waiting: Transfer, maker: User, operator: User, checker: User, checker2: User
) -> None:
    first = hands.say(waiting, operator)
    client = sign_in(checker)
    assert "Look twice" not in words(client, "/changes/")
    hands.agree(first, waiting, checker)
    hands.ticked(waiting)
    other = hands.asked(hands.approved(hands.draft_of(apart, maker, "3"), checker, checker2))
    hands.say(other, operator)
    sentence = f"Look twice: the same file, statement.txt, is evidence of {waiting.reference} as well."
    assert sentence in words(client, "/changes/")
    assert sentence in words(client, page(other))
    assert "Confirm: it was done" in words(client, page(other)), "it is a warning, and no refusal"


def test_a_record_that_shows_another_transfer_stays_beside_its_mistake_and_is_not_confirmed(
    sign_in: SignIn, apart: Apart, waiting: Transfer, maker: User, operator: User, checker: User, checker2: User
) -> None:
    other = hands.asked(hands.approved(hands.draft_of(apart, maker, "3"), checker, checker2))
    change = hands.say(other, operator, files=[], record="0xfeed")
    hands.agree(hands.say(waiting, operator, files=[], record="0xfeed"), waiting, checker)
    sentence = f"0xfeed shows {waiting.reference} already, and one record proves one transfer."
    client = sign_in(checker)
    assert sentence in words(client, page(other))
    said = {"digest": change.digest, "typed": other.reference}
    assert client.post(f"{page(other)}changes/{change.pk}/confirm/", said).status_code == 409
    client.post(f"{page(other)}changes/{change.pk}/decline/", {"reason": "That is another one"})
    answer = client.post(f"{page(other)}by-hand/", form(other, record="0xfeed"))
    assert answer.status_code == 422
    assert sentence in " ".join(page_of(answer).text_content().split())
    assert 'value="0xfeed"' in answer.content.decode()


def test_what_is_no_transfer_by_hand_has_no_such_task(
    sign_in: SignIn, approved: Callable[..., Transfer], operator: User
) -> None:
    transfer = approved()
    client = sign_in(operator)
    assert "by hand" not in words(client, page(transfer))
    assert client.post(f"{page(transfer)}by-hand/", form(transfer)).status_code == 409


# -- the desk ------------------------------------------------------------------------------------------------


def test_the_page_of_connections_says_what_people_do(
    sign_in: SignIn, desk: Connection, wallet: Account, operator: User, checker: User
) -> None:
    part = by_id(page_of(sign_in(operator).get("/connections/")), f"connection-{desk.pk}")
    assert "People move its money, and state what it holds." in part.text_content()
    assert "Test connection" not in part.text_content()
    assert f"/connections/{desk.pk}/balances/" in part.xpath(".//a/@href")
    assert wallet.address in part.text_content()
    assert f"/connections/{desk.pk}/balances/" not in sign_in(checker).get("/connections/").content.decode()
    answer = sign_in(operator).post(f"/connections/{desk.pk}/test/")
    assert answer.status_code == 303
    assert "Testing…" not in sign_in(operator).get("/connections/").content.decode()


def test_an_operator_connects_a_desk_by_the_same_form_as_any_venue(
    sign_in: SignIn, operator: User, operator2: User
) -> None:
    from treasury import venues

    (venue,) = venues.by_hand()
    declared = venues.declared(venue)
    credentials = {f"credential-{name}": "Vaults" for name in declared.credential_names()}
    said = {"name": "Vaults", "environment": next(iter(declared.hosts)), "reason": "ours", **credentials}
    assert sign_in(operator).post(f"/connections/new/?venue={venue}", said).status_code == 303
    change = put_forward().get()
    first_looks.look(change_id=change.pk, at=timezone.now())
    answer = sign_in(operator2).post(f"/changes/{change.pk}/confirm/", {"digest": change.digest, "login": "Vaults"})
    assert answer.status_code == 303
    made = Connection.objects.get()
    assert (made.by_hand, made.login) == (True, "Vaults")


def test_an_account_is_typed_in_by_one_operator_and_confirmed_by_another(
    sign_in: SignIn, desk: Connection, operator: User, operator2: User
) -> None:
    client, address = sign_in(operator), f"/connections/{desk.pk}/accounts/"
    said = {"typed-address": "DE02", "typed-title": "Savings", "typed-kind": "bank", "typed-treated": "quiet"}
    wrong = client.post(address, said | {"typed-title": "", "reason": "ours"})
    assert wrong.status_code == 422
    assert 'value="DE02"' in wrong.content.decode()
    assert client.post(address, said | {"typed-kind": "nothing", "reason": "ours"}).status_code == 422
    assert client.post(address, said | {"reason": "ours"}).status_code == 303
    change = put_forward().get()
    answer = sign_in(operator2).post(f"/changes/{change.pk}/confirm/", {"digest": change.digest})
    assert answer.status_code == 303
    made = desk.accounts.get()
    assert (made.address, made.title, made.kind, made.quiet) == ("DE02", "Savings", "bank", True)
    assert client.post(address, {"DE02-title": "Saved", "DE02-treated": "active", "reason": "x"}).status_code == 303
    assert client.post(address, {"reason": "x"}).status_code == 422, "nothing typed, nothing changed"


def test_a_balance_is_stated_with_its_evidence_and_confirmed(
    sign_in: SignIn, desk: Connection, wallet: Account, maker: User, checker: User
) -> None:
    client, address = sign_in(maker), f"/connections/{desk.pk}/balances/"
    said: dict[str, Any] = {
        "account": wallet.pk,
        "asset": "BTC",
        "total": "1.25",
        "movable": "",
        "reason": "Its explorer",
        "seen_at": (timezone.now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M"),
    }
    missing = client.post(address, said)
    assert missing.status_code == 422
    assert "Hand in a file" in missing.content.decode()
    wrong = client.post(address, said | {"total": "much", "files": [SimpleUploadedFile("s.txt", b"1.25")]})
    assert wrong.status_code == 422
    assert 'value="much"' in wrong.content.decode()
    assert client.post(address, said | {"files": [SimpleUploadedFile("s.txt", b"1.25")]}).status_code == 303
    change = put_forward().get(kind=typed.STATE)
    other = sign_in(checker)
    assert "held 1.25 BTC, all of it movable" in words(other, "/changes/")
    assert other.post(f"/changes/{change.pk}/confirm/", {"digest": change.digest}).status_code == 303
    assert str(Balance.objects.get().total) == "1.250000000000000000"
    assert "1.25" in by_id(page_of(client.get(address)), "state").text_content()
    assert "1.25" in by_id(page_of(client.get("/")), f"connection-{desk.pk}").text_content()


@pytest.mark.parametrize("offset", [timedelta(hours=-5), timedelta(hours=14)])
def test_a_moment_with_an_offset_is_that_moment(
    sign_in: SignIn, desk: Connection, wallet: Account, maker: User, offset: timedelta
) -> None:
    when = (timezone.now() - timedelta(hours=1)).replace(microsecond=0)
    there = when.astimezone(timezone.get_fixed_timezone(offset)).isoformat()
    answer = sign_in(maker).post(f"/connections/{desk.pk}/balances/", stated(wallet, there))
    assert answer.status_code == 303
    assert put_forward().get(kind=typed.STATE).words["observed_at"] == when.isoformat()


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1999-12-31T23:59"]
)
def test_a_moment_at_the_ends_of_the_calendar_is_refused_in_words(
    sign_in: SignIn, desk: Connection, wallet: Account, maker: User, moment: str
) -> None:
    answer = sign_in(maker).post(f"/connections/{desk.pk}/balances/", stated(wallet, moment))
    assert answer.status_code == 422
    assert moment in answer.content.decode()
    assert not put_forward().filter(kind=typed.STATE).exists()


def stated(wallet: Account, moment: str) -> dict[str, Any]:
    files = [SimpleUploadedFile("s.txt", b"1.25")]
    said = {"asset": "BTC", "total": "1", "movable": "", "reason": "Its explorer", "seen_at": moment}
    return {"account": wallet.pk, "files": files, **said}


def test_whoever_may_not_state_a_balance_sees_no_form(
    sign_in: SignIn, desk: Connection, connection: Connection, checker: User, maker: User
) -> None:
    assert sign_in(checker).get(f"/connections/{desk.pk}/balances/").status_code == 403
    assert sign_in(maker).get(f"/connections/{connection.pk}/balances/").status_code == 404
