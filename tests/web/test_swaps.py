"""Every swap equals a reload: the answer htmx gets, put into the page, is the page that a plain request would show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from connectors.core.errors import Uncertain
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.controls import stops
from treasury.models import Account, Connection, Kind, State, Transfer, User
from treasury.transfers import approve as approving
from treasury.transfers import attempts, dispatch, lifecycle
from treasury.transfers import cancel as cancelling

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]

pytestmark = pytest.mark.usefixtures("still")


def same(client: Client, before: str, target: str, method: str, address: str, data: Any = None) -> Any:
    """Swap the answer into the page at ``before``; compare with that page loaded anew. For a refusal, the answer of
    the same request without htmx is the page to equal."""
    page = page_of(client.get(before))
    answer = htmx(client, method, address, data, page=before)
    if answer.status_code in (200, 286):
        anew = client.get(before if method == "post" else address, data if method == "get" else None)
    else:
        anew = getattr(client, method)(address, data or {})
        assert anew.status_code == answer.status_code
    assert text_of(swapped(page, answer, target)) == text_of(page_of(anew))
    return answer


def steps(transfer: Transfer) -> dict[str, str]:
    return {"digest": transfer.digest or "", "round": str(transfer.round), "instruction": transfer.instruction or ""}


def test_submit(sign_in: SignIn, drafted: Make, maker: User) -> None:
    transfer = drafted()
    here = f"/transfers/{transfer.reference}/"
    same(sign_in(maker), here, f"transfer-{transfer.reference}", "post", f"{here}submit/")
    transfer.refresh_from_db()
    assert transfer.state == State.SUBMITTED


def test_approve_and_the_second_click(sign_in: SignIn, submitted: Make, checker: User) -> None:
    transfer, client = submitted(), sign_in(checker)
    here, card = f"/transfers/{transfer.reference}/", f"transfer-{transfer.reference}"
    answer = same(client, here, card, "post", f"{here}approve/", steps(transfer))
    assert "Approved" in answer.content.decode()
    page = page_of(client.get(here))
    again = htmx(client, "post", f"{here}approve/", steps(transfer), page=here)
    assert again.status_code == 409
    assert by_id(swapped(page, again, card), card).xpath(".//*[@role='alert']")


def test_reject(sign_in: SignIn, submitted: Make, checker: User) -> None:
    transfer = submitted()
    here = f"/transfers/{transfer.reference}/"
    data = {**steps(transfer), "reason": "Wrong month"}
    same(sign_in(checker), here, f"transfer-{transfer.reference}", "post", f"{here}reject/", data)


def test_cancel(sign_in: SignIn, submitted: Make, maker: User) -> None:
    transfer = submitted()
    here = f"/transfers/{transfer.reference}/"
    same(sign_in(maker), here, f"transfer-{transfer.reference}", "post", f"{here}cancel/")


@pytest.mark.parametrize(
    ("step", "data", "status"),
    [
        ("approve", {"digest": "0" * 64}, 409),
        ("reject", {"reason": ""}, 422),
        ("submit", {}, 403),
        ("draft-again", {}, 403),
        ("cancel", {}, 403),
    ],
)
def test_refusals_on_the_card(
    sign_in: SignIn, submitted: Make, checker: User, step: str, data: dict[str, str], status: int
) -> None:
    """Both requests are logged, so the second page has one line more; what is refused is compared without the log."""
    transfer, client = submitted(), sign_in(checker)
    here, card = f"/transfers/{transfer.reference}/", f"transfer-{transfer.reference}"
    page = page_of(client.get(here))
    answer = htmx(client, "post", f"{here}{step}/", data, page=here)
    plain = client.post(f"{here}{step}/", data)
    assert answer.status_code == plain.status_code == status
    pages = [swapped(page, answer, card), page_of(plain)]
    for one in pages:
        (log,) = one.find_class("timeline")
        log.clear()
    assert text_of(pages[0]) == text_of(pages[1])


def test_a_transfer_that_is_gone_takes_the_place_of_the_page(sign_in: SignIn, drafted: Make, maker2: User) -> None:
    transfer, client = drafted(), sign_in(maker2)
    address = f"/transfers/{transfer.reference}/submit/"
    answer = htmx(client, "post", address)
    page = swapped(page_of(client.get("/")), answer, "main")
    plain = page_of(client.post(address))
    assert text_of(by_id(page, "main")) == text_of(by_id(plain, "main"))


def test_polls_show_what_a_reload_would_and_stop_when_it_has_ended(
    sign_in: SignIn, approved: Make, maker: User
) -> None:
    transfer, client = approved(), sign_in(maker)
    here, card = f"/transfers/{transfer.reference}/", f"transfer-{transfer.reference}"
    page = page_of(client.get(here))
    assert by_id(page, card).get("hx-trigger") == "every 2s"
    cancelling.cancel(reference=transfer.reference, by=maker, at=timezone.now())

    answer = htmx(client, "get", f"{here}live/", page=here)

    assert answer.status_code == 286
    after = swapped(page, answer, card)
    assert text_of(after) == text_of(page_of(client.get(here)))
    assert by_id(after, card).get("hx-trigger") is None


def test_a_poll_goes_on_while_it_is_in_flight(sign_in: SignIn, approved: Make, maker: User) -> None:
    transfer, client = approved(), sign_in(maker)
    with transaction.atomic():
        locked = lifecycle.locked(transfer.reference)
        attempts.enter(locked, kind=Kind.SEND, at=timezone.now(), action="transfer.dispatch")
    here = f"/transfers/{transfer.reference}/"
    answer = htmx(client, "get", f"{here}live/", page=here)
    assert answer.status_code == 200
    assert client.get(f"{here}live/").url == here


def test_the_overview_with_money_at_risk(sign_in: SignIn, approved: Make, maker: User) -> None:
    approved(amount="3")
    attempt = dispatch.claim(reference=approved().reference, at=timezone.now())
    assert attempt is not None
    attempts.conclude(attempt_id=attempt.pk, answer=Uncertain("Perhaps."), now=timezone.now)
    answer = same(sign_in(maker), "/", "overview", "get", "/")
    assert "1 transfer, oldest" in answer.content.decode()


def test_the_overview_polls_only_while_something_is_in_flight(
    sign_in: SignIn, approved: Make, maker: User, checker: User
) -> None:
    client = sign_in(maker)
    assert by_id(page_of(client.get("/")), "overview").get("hx-trigger") is None
    approved()
    assert by_id(page_of(client.get("/")), "overview").get("hx-trigger") == "every 5s"
    assert same(client, "/", "overview", "get", "/").status_code == 200


def test_stop_and_refresh(sign_in: SignIn, connection: Connection, operator: User) -> None:
    client = sign_in(operator)
    same(client, "/", "overview", "post", f"/connections/{connection.pk}/stop/", {"reason": "Maintenance"})
    assert stops.standing_over(connection).get() == connection.stop_orders.get()
    same(client, "/", "overview", "post", f"/connections/{connection.pk}/refresh/")


@pytest.mark.parametrize("address", ["/connections/{}/stop/", "/connections/{}/refresh/"])
def test_refusals_on_the_overview(
    sign_in: SignIn, connection: Connection, operator: User, checker: User, address: str
) -> None:
    """Without a reason: 422. By a checker, who may not: 403; the checker may ask for a reading."""
    at = address.format(connection.pk)
    if "stop" in address:
        assert same(sign_in(operator), "/", "overview", "post", at, {}).status_code == 422
        assert same(sign_in(checker), "/", "overview", "post", at, {"reason": "x"}).status_code == 403
    else:
        assert same(sign_in(checker), "/", "overview", "post", at, {}).status_code == 200


def test_a_form_with_a_mistake(sign_in: SignIn, maker: User, unified: Account) -> None:
    client = sign_in(maker)
    data = {"source": unified.pk, "destination": unified.pk, "asset": "USDT", "amount": "1e3", "reason": ""}
    assert same(client, "/transfers/new/", "draft", "post", "/transfers/new/", data).status_code == 422


def test_a_saved_form_goes_to_the_transfer(sign_in: SignIn, drafted: Make, maker: User) -> None:
    transfer, client = drafted(), sign_in(maker)
    here = f"/transfers/{transfer.reference}/edit/"
    data = {
        "source": transfer.source_id,
        "destination": transfer.destination_id,
        "asset": "USDT",
        "amount": "7",
        "reason": "Less",
    }
    assert htmx(client, "post", here, data, page=here)["HX-Redirect"] == f"/transfers/{transfer.reference}/"
    transfer.refresh_from_db()
    assert str(transfer.amount.normalize()) == "7"


FILTERS = [
    ("/transfers/", "transfers", {"state": "draft"}),
    ("/transfers/", "transfers", {"text": "no such reason"}),
    ("/transfers/", "transfers", {"before": "1"}),
    ("/audit/", "entries", {"who": "maker"}),
    ("/audit/", "entries", {"result": "refused"}),
    ("/reconciliation/", "reconciliation", {"tripped": "on"}),
]


@pytest.mark.parametrize(("address", "part", "chosen"), FILTERS)
def test_a_filtered_list(
    sign_in: SignIn, drafted: Make, maker: User, address: str, part: str, chosen: dict[str, str]
) -> None:
    """The person has set the form's fields already; what is swapped are the results below them."""
    drafted()
    client = sign_in(maker)
    page = swapped(page_of(client.get(address)), htmx(client, "get", address, chosen, page=address), part)
    reloaded = page_of(client.get(address, chosen))
    assert text_of(by_id(page, part)) == text_of(by_id(reloaded, part))
    for one in (page, reloaded):
        for form in one.find_class("filters"):
            form.getparent().remove(form)
    assert text_of(page) == text_of(reloaded)


def test_going_back_in_history_loads_the_whole_page(sign_in: SignIn, maker: User) -> None:
    response = sign_in(maker).get("/transfers/", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in response.content.decode()


def test_approval_by_the_last_of_two_shows_both(
    sign_in: SignIn, submitted: Make, checker: User, checker2: User
) -> None:
    transfer = submitted(amount="50000")
    approving.approve(
        reference=transfer.reference,
        checker=checker,
        digest=transfer.digest or "",
        round=transfer.round,
        factor="password",
        at=timezone.now(),
    )
    here = f"/transfers/{transfer.reference}/"
    answer = same(sign_in(checker2), here, f"transfer-{transfer.reference}", "post", f"{here}approve/", steps(transfer))
    assert "Approvals: 2 of 2" in answer.content.decode()
