"""The inbox of proposed changes: what waits for me, for others, what was decided, and how each reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client, RequestFactory
from django.utils import timezone

from connectors.simulators.core import Simulator
from tests.house import give, person
from tests.web.doubting import contradicted, doubtful
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.controls import changes, connections, first_looks, stops, uploads
from treasury.controls.roles import CHECKERS
from treasury.models import AuditEntry, Change, Connection, Transfer, User
from treasury.models.change import ADOPT, BOOTSTRAP, NOBODYS
from treasury.transfers import contradictions, resolve
from treasury.web import changes as page
from treasury.web import governed
from treasury.web.kinds import KINDS

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]


@pytest.fixture
def release(connection: Connection, operator: User) -> Change:
    """The release of a stop, proposed by the first operator."""
    order = stops.stop(connection=connection, reason="Maintenance", by=operator, at=timezone.now())
    return stops.propose_release(stop_order_id=order.pk, by=operator, reason="Rotated", at=timezone.now())


def html(client: Client, address: str = "/changes/") -> str:
    return str(client.get(address).content.decode())


def sections(client: Client) -> dict[str, str]:
    """The text of each part of the page by its heading."""
    shown = by_id(page_of(client.get("/changes/")), "changes")
    return {one.find("h2").text_content(): one.text_content() for one in shown.findall("section")}


def counted(client: Client) -> str:
    link = by_id(page_of(client.get("/")), "house").xpath(".//nav//a[@href='/changes/']")[0]
    return re.sub(r"\s+", " ", str(link.text_content())).strip()


def test_it_waits_for_those_who_may_decide_and_for_others_elsewhere(
    sign_in: SignIn, release: Change, operator: User, operator2: User, maker: User
) -> None:
    assert "Rotated" in sections(sign_in(operator2))["Waiting for you"]
    for someone in (operator, maker):
        shown = sections(sign_in(someone))
        assert "Nothing waits for you. 1 waits for others." in shown["Waiting for you"]
        assert "Rotated" in shown["Waiting for others"]
    assert counted(sign_in(operator2)) == "Changes 1 for you"
    assert counted(sign_in(operator)) == "Changes"


def test_a_maker_who_is_a_checker_too_does_not_find_their_own_transfer_in_the_inbox(
    sign_in: SignIn, approved: Make, operator: User, maker: User, checker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = doubtful(approved(), monkeypatch)
    give(maker, CHECKERS)
    said = {"moved": True, "reason": "Seen", "typed": transfer.reference}
    resolve.propose(reference=transfer.reference, by=operator, at=timezone.now(), **said)
    assert counted(sign_in(checker)) == "Changes 1 for you"
    assert counted(sign_in(maker)) == "Changes"
    assert "waits for you too" in html(sign_in(checker), "/approvals/")


def test_every_kind_says_in_words_what_it_would_do(
    sign_in: SignIn, approved: Make, release: Change, operator: User, operator2: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops.confirm_release(change_id=release.pk, by=operator2, digest=release.digest, at=timezone.now())
    against = contradicted(approved())
    transfer = doubtful(approved(), monkeypatch)
    at, files = timezone.now(), [uploads.accepted("screen.txt", b"nothing")]
    resolve.propose(
        reference=transfer.reference,
        moved=False,
        reason="No entry",
        typed=transfer.reference,
        by=operator,
        at=at,
        files=files,
        record="V-8",
    )
    contradictions.propose_close(
        contradiction_id=against.pk,
        moved=True,
        reason="Seen there",
        typed=against.transfer.reference,
        by=operator,
        at=at,
        files=[],
    )
    shown = sections(sign_in(operator))
    for words in (
        f"Resolve a transfer: {transfer.reference}",
        "It did not move: the transfer ends as failed",
        "The venue's record: V-8",
        "screen.txt",
        hashlib.sha256(b"nothing").hexdigest()[:4],
        f"Close a contradiction: {against.transfer.reference}",
        "What is true: it moved.",
    ):
        assert words in shown["Waiting for others"], words
    assert "Release a stop: Bybit main" in shown["Decided"]
    assert "Applied" in shown["Decided"]


def test_a_release_says_how_much_is_sent_by_it_and_never_that_it_is_sent_again(
    sign_in: SignIn, approved: Make, release: Change, operator2: User
) -> None:
    """What a stop holds was never sent: "again" would read as a second payment."""
    client = sign_in(operator2)
    for place in ("/changes/", "/stops/"):
        assert "nothing is sent by its release" in text_of_part(client, place, release)
    held = [approved(amount="1.5") for _ in range(7)]
    for place in ("/changes/", "/stops/"):
        words = text_of_part(client, place, release)
        assert "The 7 approved transfers it holds are sent as soon as nothing else stands in their way" in words
        assert f"{', '.join(one.reference for one in held[:5])} and 2 more; 10.5 USDT together." in words
        assert held[5].reference not in words
        assert "sent again" not in words
    stops.confirm_release(change_id=release.pk, by=operator2, digest=release.digest, at=timezone.now())
    assert held[0].reference not in text_of_part(client, "/changes/", release)


def test_each_stop_counts_its_own(sign_in: SignIn, approved: Make, operator: User, operator2: User) -> None:
    transfer, at = approved(amount="12.5"), timezone.now()
    proposed = []
    for what in ({"asset": "BTC"}, {"asset": "usdt"}, {"account": transfer.destination}):
        order = stops.stop(**what, reason="Drill", by=operator, at=at)
        proposed.append(stops.propose_release(stop_order_id=order.pk, by=operator, reason="Over", at=at))
    words = [text_of_part(sign_in(operator2), "/changes/", one) for one in proposed]
    assert "nothing is sent by its release" in words[0]
    for each in words[1:]:
        assert f"stands in its way: {transfer.reference}, 12.5 USDT." in each


def test_whoever_confirms_that_it_moved_sees_how_much_between_which_accounts_and_both_balances(
    sign_in: SignIn, approved: Make, operator: User, checker2: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    against = contradicted(approved(amount="7"))
    transfer = doubtful(approved(amount="3.25"), monkeypatch)
    said, at = {"moved": True, "reason": "Seen"}, timezone.now()
    resolved = resolve.propose(reference=transfer.reference, typed=transfer.reference, by=operator, at=at, **said)
    closed = contradictions.propose_close(
        contradiction_id=against.pk, typed=against.transfer.reference, by=operator, at=at, files=[], **said
    )
    client = sign_in(checker2)
    for change, about in ((resolved, transfer), (closed, against.transfer)):
        amount = f"{about.amount.normalize():f} USDT"
        for place in ("/changes/", f"/transfers/{about.reference}/"):
            article = by_id(page_of(client.get(place)), f"change-{change.pk}")
            words = article.text_content()
            for fact in (amount, str(about.source), str(about.destination)):
                assert fact in words, place
            (table,) = article.xpath(".//table")
            assert "If it moved" in table.text_content()


def text_of_part(client: Client, place: str, change: Change) -> str:
    return re.sub(r"\s+", " ", by_id(page_of(client.get(place)), f"change-{change.pk}").text_content())


def test_every_kind_that_may_be_proposed_has_its_words_and_its_verb() -> None:
    """And what nobody proposed has its words too."""
    assert set(KINDS) == set(changes.RIGHTS) | set(NOBODYS)
    assert set(changes.RIGHTS) == set(page.CONFIRM)
    assert set(governed.NOBODY) == set(NOBODYS)


@pytest.fixture
def adopted(maker: User) -> Change:
    """What an upgrade found: in a house that was set up today, only past the guards."""
    first = Change.objects.get(kind=BOOTSTRAP)
    with database.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE treasury_change SET kind = %s WHERE id = %s", [ADOPT, first.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")
    return Change.objects.get(pk=first.pk)


@pytest.mark.parametrize("step", ["confirm", "decline", "withdraw"])
@pytest.mark.parametrize("which", NOBODYS)
def test_no_step_is_taken_on_what_nobody_proposed_and_the_attempt_is_in_the_log(
    sign_in: SignIn, operator: User, request: pytest.FixtureRequest, which: str, step: str
) -> None:
    change = request.getfixturevalue("adopted") if which == ADOPT else Change.objects.get(kind=BOOTSTRAP)
    before = Change.objects.filter(pk=change.pk).values()[0]
    said = {"digest": change.digest, "reason": "no"}
    assert sign_in(operator).post(f"/changes/{change.pk}/{step}/", said).status_code == 403
    assert Change.objects.filter(pk=change.pk).values()[0] == before
    (tried,) = AuditEntry.objects.filter(result="refused")
    assert tried.action == (which if step == "confirm" else f"change.{step}")


@pytest.mark.parametrize("kind", [*changes.RIGHTS, *NOBODYS])
def test_whatever_its_kind_a_change_that_the_page_did_not_show_is_refused_and_none_breaks(
    rf: RequestFactory, operator: User, checker: User, adopted: Change, kind: str
) -> None:
    if kind == ADOPT:
        change = adopted
    elif kind == BOOTSTRAP:
        change = Change(pk=adopted.pk, kind=BOOTSTRAP)
    else:
        said = {"subject": "transfer:TR-000000", "words": {}, "digest": "1" * 64, "reason": "x"}
        change = Change.objects.create(kind=kind, proposed_by=operator, proposed_at=timezone.now(), **said)
        changes.entry(change, by=operator, at=timezone.now(), action="change.propose", facts={})
    request = rf.post("/", {"digest": "0" * 64, "typed": "TR-000000", "login": "1"})
    request.user = checker
    with pytest.raises((changes.MayNotChange, changes.OtherChange)):
        page.take(request, change, "confirm", timezone.now())
    change.refresh_from_db(fields=["ruling"])
    assert change.ruling == (None if kind in changes.RIGHTS else "applied")


def test_it_is_confirmed_here_and_the_right_verb_runs(
    sign_in: SignIn, release: Change, operator: User, operator2: User
) -> None:
    client = sign_in(operator2)
    address = f"/changes/{release.pk}/confirm/"
    assert client.post(address, {"digest": "0" * 64}).status_code == 409
    assert sign_in(operator).post(address, {"digest": release.digest}).status_code == 403
    assert client.post(address, {"digest": release.digest}).status_code == 303
    assert not stops.standing().exists()
    assert client.post(address, {"digest": release.digest}).status_code == 409


def test_a_transfer_is_resolved_from_the_inbox_with_its_reference_typed(
    sign_in: SignIn, approved: Make, operator: User, checker2: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = doubtful(approved(), monkeypatch)
    said = {"moved": True, "reason": "Seen", "typed": transfer.reference}
    change = resolve.propose(reference=transfer.reference, by=operator, at=timezone.now(), **said)
    client, address = sign_in(checker2), f"/changes/{change.pk}/confirm/"
    assert f"Type {transfer.reference} to confirm" in html(client)
    assert client.post(address, {"digest": change.digest}).status_code == 422
    assert client.post(address, {"digest": change.digest, "typed": transfer.reference}).status_code == 303
    transfer.refresh_from_db()
    assert transfer.state == "SETTLED"


def test_a_login_is_connected_only_as_the_venue_and_the_page_said(
    sign_in: SignIn, venue: Simulator, operator: User, operator2: User
) -> None:
    at = timezone.now()
    change = connections.propose_connect(
        name="Bybit two",
        venue="bybit",
        environment="mainnet",
        credentials=venue.credentials,
        reason="More",
        by=operator,
        at=at,
    )
    client, address = sign_in(operator2), f"/changes/{change.pk}/confirm/"
    shown = html(client)
    assert "has not said yet whose login this is" in shown
    assert 'hx-trigger="every 5s"' in shown.partition('<main id="main"')[2]
    assert client.post(address, {"digest": change.digest}).status_code == 409
    look = first_looks.look(change_id=change.pk, at=at)
    assert look is not None
    assert not look.problem
    shown = html(client)
    assert look.login in shown
    assert all(secret not in shown for secret in venue.credentials.values())
    assert client.post(address, {"digest": change.digest, "login": "another"}).status_code == 409
    assert client.post(address, {"digest": change.digest, "login": look.login}).status_code == 303
    assert Connection.objects.get().login == look.login


def test_what_the_venue_did_not_say_is_shown_and_cannot_be_confirmed(
    sign_in: SignIn, venue: Simulator, operator: User, operator2: User
) -> None:
    at = timezone.now()
    wrong = dict.fromkeys(venue.credentials, "wrong")
    said = {"name": "Two", "venue": "bybit", "environment": "mainnet", "reason": "More"}
    change = connections.propose_connect(credentials=wrong, by=operator, at=at, **said)
    look = first_looks.look(change_id=change.pk, at=at)
    assert look is not None
    assert look.problem
    shown = html(sign_in(operator2))
    assert "The venue did not say whose login this is" in shown
    assert "Confirm: connect it" not in shown


def test_accounts_are_set_up_as_the_words_say(
    sign_in: SignIn, connection: Connection, operator: User, operator2: User
) -> None:
    wanted = [connections.SetUp("FUND", "Funding of the house", True)]
    change = connections.propose_set_up(
        connection=connection, accounts=wanted, reason="Ours alone", by=operator, at=timezone.now()
    )
    before = connection.accounts.get(address="FUND").title
    becomes = "becomes Funding of the house, only we move it."
    assert f"FUND: {before}, others may move it; {becomes}" in html(sign_in(operator2))
    sign_in(operator2).post(f"/changes/{change.pk}/confirm/", {"digest": change.digest})
    assert connection.accounts.get(address="FUND").quiet
    decided = text_of_part(sign_in(operator2), "/changes/", change)
    assert f"FUND: was {before}, others may move it; became Funding of the house, only we move it." in decided


def test_declining_says_why_and_withdrawing_is_the_proposers(
    sign_in: SignIn, release: Change, operator: User, operator2: User, refused: Any
) -> None:
    client = sign_in(operator2)
    assert client.post(f"/changes/{release.pk}/decline/", {"reason": " "}).status_code == 422
    assert client.post(f"/changes/{release.pk}/withdraw/").status_code == 403
    assert refused() == [("admin2", "change.withdraw", "connection:Bybit main")]
    assert client.post(f"/changes/{release.pk}/decline/", {"reason": "Not yet"}).status_code == 303
    decided = sections(client)["Decided"]
    assert "Admin2 Person declined it" in re.sub(r"\s+", " ", decided)
    assert "Not yet" in decided
    assert sign_in(operator).post(f"/changes/{release.pk}/withdraw/").status_code == 409


def test_nothing_is_decided_by_get_and_without_a_role_nothing_is_seen(sign_in: SignIn, release: Change) -> None:
    nobody = sign_in(person("nobody"))
    assert nobody.get("/changes/").status_code == 403
    for step in ("confirm", "decline", "withdraw"):
        address = f"/changes/{release.pk}/{step}/"
        assert nobody.get(address).status_code == 405
        answer = nobody.post(address, {"digest": release.digest, "reason": "x"})
        assert answer.status_code == 403
        assert "Maintenance" not in answer.content.decode()
    release.refresh_from_db()
    assert release.is_open
    assert sign_in(person("someone", "auditors")).post("/changes/999/confirm/").status_code == 404


def test_what_was_decided_is_paged(sign_in: SignIn, connection: Connection, operator: User) -> None:
    order = stops.stop(connection=connection, reason="Maintenance", by=operator, at=timezone.now())
    for number in range(21):
        change = stops.propose_release(
            stop_order_id=order.pk, by=operator, reason=f"Reason {number}.", at=timezone.now()
        )
        changes.withdraw(change_id=change.pk, by=operator, at=timezone.now())
    client = sign_in(operator)
    assert "Reason 0." not in html(client)
    (older,) = page_of(client.get("/changes/")).xpath("//nav[@class='pages']/a/@href")
    assert "Reason 0." in html(client, older)


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize(
    ("step", "data", "status"),
    [
        ("confirm", {}, 200),
        ("confirm", {"digest": "x"}, 409),
        ("decline", {"reason": "Not yet"}, 200),
        ("decline", {"reason": ""}, 422),
        ("withdraw", {}, 403),
    ],
)
def test_every_swap_equals_a_reload(
    sign_in: SignIn, release: Change, operator2: User, step: str, data: dict[str, str], status: int
) -> None:
    client, address = sign_in(operator2), f"/changes/{release.pk}/{step}/"
    said = {"digest": release.digest, **data}
    before = page_of(client.get("/changes/"))
    answer = htmx(client, "post", address, said, page="/changes/")
    assert answer.status_code == status
    anew = client.get("/changes/") if status == 200 else client.post(address, said)
    assert text_of(swapped(before, answer, "changes")) == text_of(page_of(anew))


@pytest.mark.usefixtures("still")
def test_the_proposers_withdrawal_swaps_too(sign_in: SignIn, release: Change, operator: User) -> None:
    client = sign_in(operator)
    before = page_of(client.get("/changes/"))
    answer = htmx(client, "post", f"/changes/{release.pk}/withdraw/", page="/changes/")
    after = swapped(before, answer, "changes")
    assert "Withdrawn. Nothing was changed; you may propose anew." in answer["HX-Trigger"]
    assert text_of(after) == text_of(page_of(client.get("/changes/")))
    assert "Admin Person withdrew it" in re.sub(r"\s+", " ", sections(client)["Decided"])
