"""Auditors see everything on record; nobody, the superuser included, changes anything; no secret is ever shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connectors.core.errors import Uncertain
from connectors.core.protocol import Standing
from connectors.core.protocol import State as Found
from connectors.simulators.core import Simulator
from tests.audit.log import seal_all
from tests.conftest import say_yes
from tests.house import agree, deactivate, give, person, take
from treasury import models
from treasury.admin.window import Window
from treasury.audit.record import Machine
from treasury.controls import heartbeats, restores, stops, uploads
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS, POLICY_EDITORS, USER_ADMINISTRATORS
from treasury.models import AuditEntry, Connection, LookUp, State, Transfer, User
from treasury.transfers import attempts, dispatch, resolve, settle, withdraw

pytestmark = pytest.mark.django_db(transaction=True)

REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)
each_model = pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.model_name)


def page(model: type[Model], view: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}", args=args)


@pytest.fixture
def on_record(approved: Callable[..., Transfer], operator: User, venue: Simulator) -> Transfer:
    """A row in every window: a transfer that settled, a look-up, a stop order, a sealed batch."""
    transfer = approved(amount="12.5")
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    at = timezone.now()
    LookUp.objects.create(transfer=transfer, at=at, state="DONE", searched=True, found=True)
    resolved(approved(amount="3"), operator)
    order = stops.stop(connection=transfer.connection, reason="fire drill", by=operator, at=at)
    stops.propose_release(stop_order_id=order.pk, by=operator, reason="drill over", at=at)
    heartbeats.beat(heartbeats.SENDS, at)
    restores.watch(at=at)
    models.Match.objects.create(transfer=transfer, basis="record", agrees=True, at=at)
    way = {"source": transfer.source, "destination": transfer.destination}
    models.Route.objects.create(**way, assets=["USDT"], asked_at=at, read_at=at)
    numbers = {"before": 5, "after": 7, "ours": 0, "rest": 2, "since": at, "at": at, "tripped": False}
    models.Movement.objects.create(account=transfer.source, asset="BTC", **numbers)
    with transaction.atomic():
        change = agree("house.set", "setting:drill", {"name": "drill", "value": {"on": True}})
        models.HouseSetting.objects.create(name="drill", value={"on": True}, change=change, at=at)
    seal_all()
    assert all(model._default_manager.exists() for model in REGISTERED)
    return transfer


def resolved(transfer: Transfer, proposer: User) -> None:
    """Two people say that it moved, with a file; then the venue's records say that it failed."""
    dispatch.read_source_if_old(reference=transfer.reference, now=timezone.now)
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=Uncertain("Perhaps."), now=timezone.now)
    later, files = timezone.now() + timedelta(minutes=5), [uploads.accepted("screen.txt", b"12.5 completed")]
    unclear = Standing(state=Found.UNCLEAR, searched=False, found=False)
    settle.note(reference=transfer.reference, answer=unclear, asked_at=later, at=later)
    typed = transfer.reference
    change = resolve.propose(
        reference=typed, moved=True, reason="Seen", typed=typed, files=files, by=proposer, at=later
    )
    resolve.confirm(change_id=change.pk, by=person("checker9", CHECKERS), digest=change.digest, typed=typed, at=later)
    failed = Standing(state=Found.FAILED, searched=True, found=True)
    settle.note(reference=transfer.reference, answer=failed, asked_at=later, at=later)


@pytest.fixture
def looks(client: Client, auditor: User) -> Client:
    """The auditor's browser: no Django permission, no superuser flag."""
    assert not auditor.is_superuser
    assert not auditor.get_all_permissions()
    client.force_login(auditor)
    return client


@pytest.fixture
def superuser(client: Client, operator: User) -> Client:
    assert operator.is_superuser
    client.force_login(operator)
    return client


def html(client: Client, address: str, **query: str) -> str:
    response = client.get(address, query)
    assert response.status_code == 200, (address, query, response.status_code)
    return response.content.decode()


# -- what is seen --------------------------------------------------------------------------------------------


def test_there_is_a_window_on_everything_that_is_on_record() -> None:
    hidden = {
        models.AuditLink,  # shown with its entry
        models.ConnectionHealth,  # shown with its connection
        models.Attachment,  # shown with its change, and without its content
        models.FirstLook,  # shown with its change
        models.Withdrawal,  # shown with its decision
    }
    ours = {model for model in REGISTERED if model._meta.app_label == "treasury"}
    assert ours | hidden >= {
        models.Transfer,
        models.Decision,
        models.Demand,
        models.Attempt,
        models.LookUp,
        models.Account,
        models.Balance,
        models.Connection,
        models.StopOrder,
        models.AuditEntry,
        models.AuditBatch,
        models.User,
        models.Change,
        models.Resolution,
        models.Contradiction,
        models.Heartbeat,
        models.Home,
        models.Mark,
        models.Match,
        models.Movement,
        models.Route,
        models.Snapshot,
        models.Membership,
        models.Policy,
        models.Assessment,
        models.HouseSetting,
    }
    assert Group not in REGISTERED, "a group of Django's confers nothing"


@each_model
def test_an_auditor_sees_each_list_and_each_row(on_record: Transfer, looks: Client, model: type[Model]) -> None:
    row = model._default_manager.order_by("pk").last()
    assert row is not None
    listed = html(looks, page(model, "changelist"))
    assert page(model, "change", row.pk) in listed
    shown = html(looks, page(model, "change", row.pk))
    assert "Save" not in shown
    assert page(model, "delete", row.pk) not in shown
    assert page(model, "add") not in listed


@each_model
def test_an_auditor_searches_filters_and_walks_by_date(on_record: Transfer, looks: Client, model: type[Model]) -> None:
    window = admin.site._registry[model]
    address = page(model, "changelist")
    assert window.search_fields
    nothing = html(looks, address, q="no such thing on record")
    assert page(model, "change", model._default_manager.order_by("pk").last().pk) not in nothing  # type: ignore[union-attr]
    links = [link for link in links_of(html(looks, address)) if link.startswith("?")]
    for link in links:
        assert looks.get(address + link).status_code == 200, link
    if window.date_hierarchy:
        assert any(f"{window.date_hierarchy}__day" in link for link in links), "one day, so the hierarchy opens at it"
    if window.list_filter:
        assert any("__exact" in link or "__isempty" in link for link in links) or len(links) > 1


def test_a_search_finds_the_transfer_by_what_people_have_in_hand(on_record: Transfer, looks: Client) -> None:
    attempt = on_record.attempts.get()
    for words in (on_record.reference, on_record.digest, str(on_record.key), "maker", attempt.record):
        assert on_record.reference in html(looks, page(Transfer, "changelist"), q=str(words)), words
    found = html(looks, page(AuditEntry, "changelist"), q=on_record.subject)
    assert found.count(f">{on_record.subject}<") == 5


def test_a_transfer_is_shown_with_its_demands_decisions_attempts_and_look_ups(
    on_record: Transfer, looks: Client
) -> None:
    shown = html(looks, page(Transfer, "change", on_record.pk))
    for words in ("12.5", on_record.digest, "Checker Person", "It moved", "checkers", "DONE"):
        assert str(words) in shown
    assert "12.500000" not in shown


def test_an_entry_says_where_it_is_sealed(on_record: Transfer, looks: Client) -> None:
    entry = AuditEntry.objects.order_by("pk")[0]
    assert "link 1, " in html(looks, page(AuditEntry, "change", entry.pk))


def test_history_leads_to_the_log(on_record: Transfer, looks: Client) -> None:
    response = looks.get(page(Transfer, "history", on_record.pk), follow=True)
    assert on_record.subject in response.content.decode()
    assert response.redirect_chain[0][0].startswith(page(AuditEntry, "changelist"))


def test_a_long_list_costs_no_query_for_each_row(
    on_record: Transfer, submitted: Callable[..., Transfer], looks: Client
) -> None:
    lists = [page(model, "changelist") for model in (Transfer, models.Demand, models.Decision, AuditEntry, User)]
    html(looks, lists[0])  # the first request of a session notes where it is signed in
    few = [queries_of(looks, address) for address in lists]
    for _ in range(10):
        submitted()
    assert [queries_of(looks, address) for address in lists] == few


def queries_of(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        html(client, address)
    return len(captured)


def test_no_list_counts_a_whole_table_twice() -> None:
    assert not any(window.show_full_result_count for window in admin.site._registry.values())


# -- who enters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "more", "enters"),
    [
        ([AUDITORS], {}, True),
        ([OPERATORS], {}, True),
        ([USER_ADMINISTRATORS], {}, True),
        ([AUDITORS, MAKERS], {}, True),
        ([MAKERS], {}, False),
        ([POLICY_EDITORS], {}, False),
        ([CHECKERS], {"is_superuser": True}, False),
        ([], {"is_superuser": True}, False),
    ],
)
def test_a_role_opens_the_windows_and_nothing_else_does(
    client: Client, roles: list[str], more: dict[str, bool], enters: bool
) -> None:
    client.force_login(person("someone", *roles, **more))
    for address in (reverse("admin:index"), page(Transfer, "changelist"), page(AuditEntry, "changelist")):
        response = client.get(address, follow=True)
        assert (response.status_code == 200 and "windows for auditors" in response.content.decode()) is enters
        assert enters or response.status_code == 403


def test_who_is_deactivated_or_loses_the_role_is_out_at_once(looks: Client, auditor: User) -> None:
    assert looks.get(reverse("admin:index")).status_code == 200
    take(auditor)
    response = looks.get(reverse("admin:index"))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("sign_in")), "signed out"
    looks.force_login(auditor)
    assert looks.get(reverse("admin:index"), follow=True).status_code == 403
    give(auditor, AUDITORS)
    assert looks.get(reverse("admin:index")).status_code == 200
    deactivate(auditor)
    response = looks.get(reverse("admin:index"))
    assert response.status_code != 200


def test_who_is_not_signed_in_is_led_to_the_one_door(client: Client) -> None:
    response = client.get(page(Transfer, "changelist"))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("sign_in"))


# -- nothing changes -----------------------------------------------------------------------------------------


def test_only_windows_are_registered() -> None:
    assert all(isinstance(window, Window) for window in admin.site._registry.values())
    assert all(window.actions is None for window in admin.site._registry.values())


@each_model
def test_the_superuser_changes_nothing_anywhere(on_record: Transfer, superuser: Client, model: type[Model]) -> None:
    row = model._default_manager.order_by("pk").last()
    assert row is not None
    before = rows_of(model)
    for address in (page(model, "add"), page(model, "delete", row.pk)):
        assert superuser.get(address).status_code == 403, address
        assert superuser.post(address, {"post": "yes"}).status_code == 403, address
    change = page(model, "change", row.pk)
    assert superuser.get(change).status_code == 200
    forms = {"username": "x", "name": "x", "reason": "x", "asset": "x", "state": "SETTLED", "_save": "Save"}
    assert superuser.post(change, forms).status_code == 403
    listed = page(model, "changelist")
    bulk = {"action": "delete_selected", "_selected_action": [row.pk], "index": 0, "select_across": 1, "post": "yes"}
    assert superuser.post(listed, bulk).status_code == 403
    for method in ("put", "patch", "delete"):
        assert getattr(superuser, method)(change).status_code == 403
    assert rows_of(model) == before


def test_nobody_changes_a_password_through_a_window(superuser: Client, operator: User) -> None:
    before = operator.password
    for name in ("password_change", "password_change_done"):
        assert superuser.get(reverse(f"admin:{name}")).status_code == 403
    words = {"old_password": "practice", "new_password1": "another one 1", "new_password2": "another one 1"}
    assert superuser.post(reverse("admin:password_change"), words).status_code == 403
    operator.refresh_from_db()
    assert operator.password == before


def rows_of(model: type[Model]) -> list[dict[str, Any]]:
    return list(model._default_manager.order_by("pk").values())


# -- no secret is shown --------------------------------------------------------------------------------------


def every_page(client: Client) -> Iterator[tuple[str, str]]:
    yield "index", html(client, reverse("admin:index"))
    yield "app", html(client, reverse("admin:app_list", args=["treasury"]))
    for model in REGISTERED:
        yield page(model, "changelist"), html(client, page(model, "changelist"))
        for row in model._default_manager.all():
            yield page(model, "change", row.pk), html(client, page(model, "change", row.pk))


def test_no_page_shows_a_credential_or_a_password_hash(on_record: Transfer, looks: Client, venue: Simulator) -> None:
    secrets = [*venue.credentials.values(), *Connection.objects.values_list("credentials", flat=True)]
    secrets += list(User.objects.values_list("password", flat=True))
    secrets += [password.split("$")[-1] for password in User.objects.values_list("password", flat=True)]
    assert len(secrets) > 6
    for address, text in every_page(looks):
        for secret in secrets:
            assert secret not in text, address
        assert "pbkdf2" not in text, address


@pytest.mark.parametrize(
    ("model", "question"),
    [
        (Connection, {"credentials__startswith": "g"}),
        (User, {"password__startswith": "p"}),
        (Transfer, {"connection__credentials__startswith": "g"}),
        (Transfer, {"maker__password__startswith": "p"}),
        (models.Account, {"connection__credentials__contains": "g"}),
        (models.Decision, {"by__password__contains": "p"}),
        (models.Attempt, {"challenge__token__startswith": "a"}),
        (models.Change, {"sealed__startswith": "g"}),
        (models.Change, {"attachments__content__contains": "g"}),
        (models.Balance, {"account__connection__credentials__regex": "^g"}),
    ],
)
def test_what_is_hidden_cannot_be_guessed_letter_by_letter(
    on_record: Transfer, looks: Client, model: type[Model], question: dict[str, str]
) -> None:
    response = looks.get(page(model, "changelist"), question)
    assert response.status_code in (302, 400)
    assert "credentials" not in response.get("Location", "")
    assert "password" not in response.get("Location", "")


def test_a_challenges_token_is_not_shown(on_record: Transfer, looks: Client) -> None:
    hidden = {"challenge", "credentials", "password", "content"}
    for window in admin.site._registry.values():
        for shown in (window, *(inline for inline in window.inlines)):
            assert not hidden & {str(name) for name in shown.fields or ()}


def test_a_change_is_shown_with_its_files_by_name_and_digest_only(on_record: Transfer, looks: Client) -> None:
    change = models.Change.objects.get(kind="transfer.resolve")
    file = change.attachments.get()
    shown = html(looks, page(models.Change, "change", change.pk))
    assert file.name in shown
    assert file.sha256 in shown
    assert "12.5 completed" not in shown
    assert "sealed" not in (admin.site._registry[models.Change].fields or ())


# -- the strict policy ---------------------------------------------------------------------------------------


class Inline(HTMLParser):
    """Collects what a policy without 'unsafe-inline' would not let run, and every address that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self.links: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._script = (
            tag == "script" and "src" not in given and given.get("type") in (None, "text/javascript", "module")
        )
        if tag == "style" or self._script:
            self.forbidden.append(tag)
        self.forbidden += [name for name in given if name == "style" or name.startswith("on")]
        for name in ("src", "href", "action"):
            value = given.get(name) or ""
            if value.startswith(("http:", "https:", "//", "javascript:", "data:")):
                self.forbidden.append(value)
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))


def links_of(text: str) -> list[str]:
    parser = Inline()
    parser.feed(text)
    return parser.links


def test_the_pages_hold_nothing_that_the_strict_policy_forbids(on_record: Transfer, looks: Client) -> None:
    response = looks.get(reverse("admin:index"))
    assert "unsafe" not in response["Content-Security-Policy"]
    for address, text in every_page(looks):
        parser = Inline()
        parser.feed(text)
        assert parser.forbidden == [], address


def test_pages_are_kept_by_no_cache(looks: Client) -> None:
    assert "no-store" in looks.get(reverse("admin:index"))["Cache-Control"]


def test_evidence_is_shown_as_it_was_stored(on_record: Transfer, looks: Client) -> None:
    attempt = on_record.attempts.get()
    shown = html(looks, page(models.Attempt, "change", attempt.pk))
    assert all(key in shown for key in json.loads(json.dumps(attempt.evidence)))


def test_a_window_without_a_subject_leads_to_the_whole_log(looks: Client) -> None:
    heartbeats.beat(heartbeats.SENDS, timezone.now())
    response = looks.get(page(models.Heartbeat, "history", models.Heartbeat.objects.get().pk))
    assert response["Location"] == page(AuditEntry, "changelist")


def test_stops_by_the_product_itself_are_seen_too(on_record: Transfer, looks: Client) -> None:
    stops.stop(connection=on_record.connection, reason="barred", by=Machine("dispatcher"), at=timezone.now())
    assert "dispatcher" in html(looks, page(models.StopOrder, "changelist"))


def test_times_are_told_to_the_second_and_with_their_zone(superuser: Client, on_record: Transfer) -> None:
    page = superuser.get(f"/admin/treasury/transfer/{on_record.pk}/change/").content.decode()
    assert f"{on_record.created_at:%H:%M:%S} UTC" in page
    assert "p.m." not in page


def test_an_approval_that_was_taken_back_is_told_from_one_that_stands(
    looks: Client, approved: Callable[..., Transfer], submitted: Callable[..., Transfer], checker: User, checker2: User
) -> None:
    stands, taken = say_yes(submitted(), checker2), approved()
    withdraw.withdraw(reference=taken.reference, reason="Wrong account", checker=checker, at=timezone.now())
    address = page(models.Decision, "changelist")
    assert "By person" in html(looks, address)
    withdrawn, others = html(looks, address, withdrawn="yes"), html(looks, address, withdrawn="no")
    assert f">{taken}<" in withdrawn and f">{stands}<" not in withdrawn
    assert f">{taken}<" not in others and f">{stands}<" in others


def test_the_first_page_names_what_it_lists_in_english_and_has_no_list_of_acts(looks: Client) -> None:
    listed = html(looks, reverse("admin:index"))
    assert "Matches" in listed and "Look-ups" in listed and "Policies" in listed
    assert "Recent actions" not in listed and "nav-sidebar" not in listed


def test_djangos_flags_are_said_to_confer_nothing(looks: Client, auditor: User) -> None:
    shown = html(looks, page(User, "change", auditor.pk))
    assert "it confers nothing here" in shown
    assert "all permissions" not in shown
