"""Connecting a venue and setting accounts up, on their pages: two operators, and no secret in any of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from connectors.core import discovery
from connectors.simulators.core import Simulator
from tests.house import put_forward, treat
from tests.web.swap import Page, by_id, htmx, page_of, swapped, text_of
from treasury.balances.refresh import ask, refresh
from treasury.controls import connections, first_looks
from treasury.models import Account, AuditEntry, Change, Connection, ConnectionHealth, Ruling, User

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]
Refused = Callable[[], list[tuple[str, str, str]]]
HERE, NEW = "/connections/", "/connections/new/"


def filled(venue: Simulator, **changed: str) -> dict[str, str]:
    secrets = {f"credential-{name}": value for name, value in venue.credentials.items()}
    return {"name": "Bybit two", "environment": "mainnet", "reason": "A second desk", **secrets, **changed}


def posted(client: Client, venue: Simulator, **changed: str) -> Change:
    response = client.post(f"{NEW}?venue=bybit", filled(venue, **changed))
    change = put_forward().get()
    assert (response.status_code, response.url) == (303, f"{HERE}#change-{change.pk}")
    return change


def look(change: Change) -> None:
    first_looks.look(change_id=change.pk, at=timezone.now())


def step(client: Client, change: Change, name: str, **said: Any) -> Any:
    """A step that the link beside a proposal leads to; looking again is the page's own."""
    here = f"{HERE}proposals" if name == "look" else "/changes"
    return client.post(f"{here}/{change.pk}/{name}/", said)


def confirm(client: Client, change: Change, **said: Any) -> Any:
    newest = first_looks.newest_look(change)
    words = {"digest": change.digest, "login": newest.login if newest else "", **said}
    return step(client, change, "confirm", **words)


def words_of(part: Page) -> str:
    return " ".join(part.text_content().split())


def waiting(client: Client) -> str:
    return words_of(by_id(page_of(client.get(HERE)), "proposals"))


@pytest.mark.parametrize("name", discovery.names())
def test_the_form_asks_for_what_the_venues_module_declares(sign_in: SignIn, operator: User, name: str) -> None:
    page = page_of(sign_in(operator).get(NEW, {"venue": name}))
    declared = discovery.venue(name)
    for field in declared.credential_names():
        box = page.get_element_by_id(f"id_credential-{field}")
        secret = declared.credentials.__dataclass_fields__[field].metadata.get("secret", True)
        assert (box.get("type"), box.get("autocomplete")) == ("password" if secret else "text", "off")
        assert (box.get("required") is not None) == (field in declared.required_credential_names())
    environments = page.xpath("//select[@name='environment']/option/@value")
    assert environments == list(declared.hosts)


def test_first_a_venue_is_chosen(sign_in: SignIn, operator: User) -> None:
    page = page_of(sign_in(operator).get(NEW))
    assert page.xpath("//nav[@aria-label='Venue']//a/@href") == [f"{NEW}?venue={name}" for name in discovery.names()]
    assert page.xpath("//section[@id='connect']//form") == []
    assert page_of(sign_in(operator).get(NEW, {"venue": "nowhere"})).xpath("//section[@id='connect']//form") == []


def test_two_operators_connect_it_and_see_what_the_venue_says(
    sign_in: SignIn, operator: User, operator2: User, venue: Simulator
) -> None:
    first, second = sign_in(operator), sign_in(operator2)
    assert f'href="{NEW}"' in first.get(HERE).content.decode()
    change = posted(first, venue)
    assert "You proposed this; someone else must confirm it." in waiting(first)
    assert "The venue has not said yet whose login this is." in waiting(second)
    look(change)
    said = waiting(second)
    for words in ("Bybit two", "mainnet", "A second desk", "The key may read and write.", "Unified Trading", "UNIFIED"):
        assert words in said, words

    response = confirm(second, change)

    assert (response.status_code, response.url) == (303, "/changes/")
    made = Connection.objects.get(name="Bybit two")
    assert made.login in by_id(page_of(second.get(HERE)), f"connection-{made.pk}").text_content()
    assert waiting(second) == ""
    assert confirm(second, change).status_code == 409, "a double click"
    assert Connection.objects.count() == 1


def test_no_answer_of_the_form_holds_a_secret(
    sign_in: SignIn, operator: User, operator2: User, venue: Simulator
) -> None:
    client = sign_in(operator)
    for changed in ({"name": ""}, {"reason": ""}, {"environment": "x"}, {"credential-api_key": "not ascii é"}):
        for answer in (
            client.post(f"{NEW}?venue=bybit", filled(venue, **changed)),
            htmx(client, "post", f"{NEW}?venue=bybit", filled(venue, **changed), page=NEW),
        ):
            assert answer.status_code == 422
            text = answer.content.decode()
            assert not any(secret in text for secret in venue.credentials.values())
            assert "é" not in text
    assert not put_forward().exists()
    change = posted(client, venue)
    look(change)
    pages = [sign_in(one).get(HERE).content.decode() for one in (operator, operator2)]
    pages.append(sign_in(operator2).get("/audit/").content.decode())
    assert not any(secret in page for page in pages for secret in venue.credentials.values())


def test_a_mistake_keeps_what_was_typed_but_the_secrets(sign_in: SignIn, operator: User, venue: Simulator) -> None:
    page = page_of(sign_in(operator).post(f"{NEW}?venue=bybit", filled(venue, reason="")))
    assert page.get_element_by_id("id_name").get("value") == "Bybit two"
    assert page.get_element_by_id("id_credential-api_secret").get("value") is None
    assert "Type the secrets again" in words_of(by_id(page, "connect"))
    assert "Say why" in page.get_element_by_id("id_reason-error").text_content()


def test_a_name_that_is_taken_is_said_beside_its_field(
    sign_in: SignIn, operator: User, connection: Connection, venue: Simulator
) -> None:
    response = sign_in(operator).post(f"{NEW}?venue=bybit", filled(venue, name="bybit MAIN"))
    assert response.status_code == 422
    assert "exists already" in page_of(response).get_element_by_id("id_name-error").text_content()


def test_a_fault_of_the_whole_is_said_above_the_form(sign_in: SignIn, operator: User) -> None:
    """Qonto takes a login with its secret key, or a token, and never both."""
    said = {"name": "Q", "environment": "production", "reason": "x", "credential-login": "somebody"}
    response = sign_in(operator).post(f"{NEW}?venue=qonto", said)
    assert response.status_code == 422
    page = page_of(response)
    assert "either login and secret_key, or access_token" in words_of(by_id(page, "connect"))
    assert page.get_element_by_id("id_credential-login").get("value") == "somebody", "no secret, as its module declares"


@pytest.mark.parametrize("who", ["maker", "checker", "auditor"])
def test_only_operators_open_the_forms_and_decide(
    sign_in: SignIn,
    operator: User,
    operator2: User,
    connection: Connection,
    venue: Simulator,
    request: pytest.FixtureRequest,
    refused: Refused,
    who: str,
) -> None:
    client, accounts = sign_in(request.getfixturevalue(who)), f"{HERE}{connection.pk}/accounts/"
    for address in (f"{NEW}?venue=bybit", accounts):
        assert client.get(address).status_code == client.post(address, filled(venue)).status_code == 403
    assert "Set up accounts" not in client.get(HERE).content.decode()
    change = posted(sign_in(operator), venue)
    look(change)
    for name in ("confirm", "decline", "withdraw", "look"):
        response = step(client, change, name, digest=change.digest, login=connection.login, reason="x")
        assert response.status_code == 403, name
        assert "Only" in response.content.decode()
    assert put_forward().get().is_open
    actions = [action for _, action, _ in refused()]
    assert actions[-4:] == ["connection.connect", "change.decline", "change.withdraw", "connection.ask"]
    assert refused()[-1][2] == "connection:Bybit two"
    assert "Look again" not in waiting(client)


def test_the_proposer_does_not_confirm(sign_in: SignIn, operator: User, venue: Simulator) -> None:
    client = sign_in(operator)
    change = posted(client, venue)
    look(change)
    assert "Withdraw it" in waiting(client)
    assert "Confirm" not in waiting(client).replace("must confirm", "")
    assert confirm(client, change).status_code == 403
    assert not Connection.objects.exists()


@pytest.mark.parametrize(
    "said",
    [
        {"digest": "0" * 64},
        {"digest": ""},
        {"login": "4711"},
        {"login": ""},
        {"login": "4711" * 100_000},
    ],
)
def test_what_the_page_did_not_show_is_not_confirmed(
    sign_in: SignIn, operator: User, operator2: User, venue: Simulator, said: dict[str, str]
) -> None:
    change = posted(sign_in(operator), venue)
    look(change)
    response = confirm(sign_in(operator2), change, **said)
    assert response.status_code == 409
    told = page_of(response).xpath("//p[@role='alert']")[0].text_content()
    assert "read it again below" in told
    assert len(told) < 1000
    assert not Connection.objects.exists()


def test_wrong_credentials_are_told_in_the_venues_words_and_looked_at_again(
    sign_in: SignIn, operator: User, operator2: User, venue: Simulator, rung: list[tuple[str, Any]]
) -> None:
    client = sign_in(operator2)
    change = posted(sign_in(operator), venue, **{"credential-api_key": "somebody-elses"})
    look(change)
    said = waiting(client)
    assert "API key is invalid" in said
    assert "Confirm: connect it" not in said
    assert confirm(client, change).status_code == 409
    assert step(client, change, "look").status_code == 303
    assert "the venue is being asked whose login it is" in waiting(client)
    assert "API key is invalid" not in waiting(client)


def test_it_is_polled_until_the_venue_has_answered(
    sign_in: SignIn, operator: User, venue: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, live = sign_in(operator), f"{HERE}proposals/"
    change = posted(client, venue)
    page = page_of(client.get(HERE))
    part = by_id(page, "proposals")
    assert (part.get("hx-get"), part.get("hx-trigger")) == (live, "every 2s")
    assert htmx(client, "get", live, page=HERE).status_code == 200
    look(change)
    done = htmx(client, "get", live, page=HERE)
    assert done.status_code == 286
    assert by_id(swapped(page, done, "proposals"), "proposals").get("hx-trigger") is None
    assert client.get(live).url == HERE


def test_a_worker_that_never_answers_is_not_polled_for_ever(
    sign_in: SignIn, operator: User, venue: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(operator)
    posted(client, venue)
    late = timezone.now() + first_looks.AWAITED + timedelta(seconds=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: late)
    assert htmx(client, "get", f"{HERE}proposals/", page=HERE).status_code == 286
    assert "Look again" in waiting(client)


def test_every_swap_equals_a_reload(
    sign_in: SignIn, operator: User, operator2: User, venue: Simulator, still: datetime
) -> None:
    first, second = sign_in(operator), sign_in(operator2)
    change = posted(first, venue)
    first_looks.look(change_id=change.pk, at=still)

    page = page_of(second.get(HERE))
    answer = htmx(second, "post", f"{HERE}proposals/{change.pk}/look/", page=HERE)
    assert answer.status_code == 200
    assert text_of(swapped(page, answer, "connections")) == text_of(page_of(second.get(HERE)))
    form = page_of(first.get(f"{NEW}?venue=bybit"))
    answer = htmx(first, "post", f"{NEW}?venue=bybit", filled(venue, name=""), page=f"{NEW}?venue=bybit")
    assert by_id(swapped(form, answer, "connect"), "connect") is not None


def test_it_is_declined_with_a_reason_or_withdrawn(
    sign_in: SignIn, operator: User, operator2: User, venue: Simulator
) -> None:
    change = posted(sign_in(operator), venue)
    assert step(sign_in(operator2), change, "decline", reason=" ").status_code == 422
    assert step(sign_in(operator2), change, "decline", reason="Not ours").status_code == 303
    change.refresh_from_db()
    assert (change.ruling, change.said, change.sealed) == (Ruling.DECLINED, "Not ours", "")
    put_forward().filter(pk=change.pk)
    again = sign_in(operator).post(f"{NEW}?venue=bybit", filled(venue))
    assert again.status_code == 303
    second = put_forward().latest("pk")
    assert step(sign_in(operator), second, "withdraw").status_code == 303
    second.refresh_from_db()
    assert second.ruling == Ruling.WITHDRAWN
    assert step(sign_in(operator), second, "withdraw").status_code == 409


def test_a_proposal_is_decided_on_at_one_address_and_this_page_leads_there(
    sign_in: SignIn, operator: User, operator2: User, venue: Simulator
) -> None:
    change = posted(sign_in(operator), venue)
    look(change)
    for person in (operator, operator2):
        part = by_id(page_of(sign_in(person).get(HERE)), "proposals")
        assert f"/changes/#change-{change.pk}" in part.xpath(".//a/@href")
        assert part.xpath(".//form/@action") == [f"{HERE}proposals/{change.pk}/look/"]
    for name in ("confirm", "decline", "withdraw"):
        assert sign_in(operator2).post(f"{HERE}proposals/{change.pk}/{name}/").status_code == 404


def test_steps_on_what_is_no_such_proposal_find_nothing(sign_in: SignIn, operator: User) -> None:
    assert sign_in(operator).post(f"{HERE}proposals/999/look/").status_code == 404
    assert sign_in(operator).get(f"{HERE}999/accounts/").status_code == 404


# -- accounts ------------------------------------------------------------------------------------------------


def reports(connection: Connection, *addresses: str) -> None:
    rows = [{"address": one, "kind": "FUND", "title": f"Venue's {one}"} for one in addresses]
    ConnectionHealth.objects.filter(connection=connection).update(reported=rows, reported_at=timezone.now())


def set_up_form(page: Page) -> dict[str, str]:
    """What a browser would post of the form as it stands."""
    form = by_id(page, "set-up").xpath(".//form")[0]
    return {name: value for name, value in form.fields.items() if value is not None}


def test_two_operators_set_up_an_account_that_the_venue_reports(
    sign_in: SignIn, operator: User, operator2: User, connection: Connection
) -> None:
    reports(connection, "UNIFIED", "FUND", "client/7:x")
    here = f"{HERE}{connection.pk}/accounts/"
    first, second = sign_in(operator), sign_in(operator2)
    assert "reports 1 more that is not set up here" in words_of(
        by_id(page_of(first.get(HERE)), f"connection-{connection.pk}")
    )
    said = set_up_form(page_of(first.get(here)))
    assert said["client/7:x-title"] == "Venue's client/7:x"
    said |= {"client/7:x-wanted": "on", "client/7:x-treated": "quiet", "UNIFIED-title": "Desk", "reason": "New desk"}
    response = first.post(here, said)
    change = put_forward().get()
    assert (response.status_code, response.url) == (303, f"{HERE}#change-{change.pk}")
    told = waiting(second)
    assert "Venue's client/7:x, only we move it" in told
    assert "Unified Trading, others may move it" in told
    assert "Desk, others may move it" in told

    assert step(second, change, "confirm", digest="0" * 64).status_code == 409
    assert step(first, change, "confirm", digest=change.digest).status_code == 403
    assert step(second, change, "confirm", digest=change.digest).status_code == 303

    added = Account.objects.get(address="client/7:x")
    assert (added.title, added.quiet, added.kind) == ("Venue's client/7:x", True, "FUND")
    assert Account.objects.get(address="UNIFIED").title == "Desk"
    assert AuditEntry.objects.filter(action="account.set_up", result="done").count() == 1
    assert "only we move it" in second.get(HERE).content.decode()


def test_what_is_not_ticked_is_not_set_up_and_nothing_changed_is_no_proposal(
    sign_in: SignIn, operator: User, connection: Connection
) -> None:
    reports(connection, "VAULT")
    client, here = sign_in(operator), f"{HERE}{connection.pk}/accounts/"
    said = set_up_form(page_of(client.get(here))) | {"reason": "x", "VAULT-title": "Vault"}
    response = client.post(here, said)
    assert response.status_code == 422
    assert "as you want it already" in words_of(by_id(page_of(response), "set-up"))
    assert not put_forward().exists()


def test_an_address_that_the_venue_does_not_report_is_not_heard(
    sign_in: SignIn, operator: User, connection: Connection
) -> None:
    client, here = sign_in(operator), f"{HERE}{connection.pk}/accounts/"
    said = set_up_form(page_of(client.get(here))) | {"reason": "x"}
    said |= {"EVIL-title": "Evil", "EVIL-treated": "active", "EVIL-wanted": "on", "FUND-title": "Reserve"}
    assert client.post(here, said).status_code == 303
    assert [one["address"] for one in put_forward().get().words["accounts"]] == ["FUND"]


def test_a_title_or_a_reason_that_is_missing_is_said(sign_in: SignIn, operator: User, connection: Connection) -> None:
    client, here = sign_in(operator), f"{HERE}{connection.pk}/accounts/"
    said = set_up_form(page_of(client.get(here)))
    page = page_of(htmx(client, "post", here, said | {"FUND-title": "", "reason": ""}, page=here))
    assert "Give it a title." in by_id(page, "id_FUND-title-error").text_content()
    assert "Say why" in by_id(page, "id_reason-error").text_content()
    assert not put_forward().exists()


def test_a_reading_that_a_person_asked_for_also_reads_which_accounts_there_are(
    connection: Connection, operator: User, at: datetime
) -> None:
    health = ConnectionHealth.objects.get()
    assert [one["address"] for one in health.reported] == ["UNIFIED", "FUND"]
    reports(connection)
    refresh(connection=connection, at=timezone.now())
    assert ConnectionHealth.objects.get().reported == [], "the clock's readings ask once an hour"
    ask(connection=connection, by=operator, at=timezone.now())
    refresh(connection=connection, at=timezone.now())
    assert len(ConnectionHealth.objects.get().reported) == 2
    reports(connection)
    ConnectionHealth.objects.update(reported_at=timezone.now() - timedelta(hours=1))
    refresh(connection=connection, at=timezone.now())
    assert len(ConnectionHealth.objects.get().reported) == 2


def test_a_change_of_an_account_is_told_beside_what_it_is_now(
    sign_in: SignIn, connection: Connection, operator: User
) -> None:
    wanted = [connections.SetUp("FUND", "Reserve", quiet=True)]
    said = {"connection": connection, "accounts": wanted, "reason": "Ours alone"}
    change = connections.propose_set_up(by=operator, at=timezone.now(), **said)
    client = sign_in(operator)
    assert "FUND: Funding, others may move it; becomes Reserve, only we move it." in waiting(client)
    treat(Account.objects.get(address="FUND"), title="Savings")
    assert "FUND: Savings, others may move it; becomes Reserve, only we move it." in waiting(client)
    step(client, change, "withdraw")
    assert "FUND: Reserve, only we move it." in client.get("/changes/").content.decode()
