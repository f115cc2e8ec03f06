"""Bad moments: a clear sentence, the right status, nothing moved, an entry where it was an attempt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.house import deactivate, give, person, take
from tests.web.swap import htmx, page_of
from treasury.controls.roles import CHECKERS
from treasury.models import Decision, State, Transfer, User
from treasury.transfers import cancel as cancelling

Refused = Callable[[], list[tuple[str, str, str]]]
SignIn = Callable[..., Client]
Make = Callable[..., Transfer]


def alert(response: Any) -> str:
    """The sentence of a refusal, as a person would read it."""
    (found,) = page_of(response).xpath("//main//*[@role='alert']")
    return " ".join(found.text_content().split())


def decision(transfer: Transfer, **more: str) -> dict[str, str]:
    return {
        "digest": transfer.digest or "",
        "round": str(transfer.round),
        "instruction": transfer.instruction or "",
        **more,
    }


def test_another_makers_draft_is_not_there(sign_in: SignIn, maker2: User, drafted: Make, refused: Refused) -> None:
    draft, client = drafted(), sign_in(maker2)
    for method, step in (("get", ""), ("get", "edit/"), ("post", "submit/"), ("post", "cancel/"), ("get", "live/")):
        response = (
            htmx(client, method, f"/transfers/{draft.reference}/{step}")
            if step == "live/"
            else getattr(client, method)(f"/transfers/{draft.reference}/{step}")
        )
        assert response.status_code == 404, step
        assert f"There is no transfer {draft.reference}." in response.content.decode()
    draft.refresh_from_db()
    assert draft.state == State.DRAFT
    assert {(who, subject) for who, _, subject in refused()} == {("maker2", draft.subject)}
    assert len(refused()) == 5


def test_a_transfer_that_never_was_reads_the_same_as_a_hidden_one(
    sign_in: SignIn, maker2: User, refused: Refused
) -> None:
    response = sign_in(maker2).get("/transfers/TR-999999/")

    assert response.status_code == 404
    assert alert(response) == "There is no transfer TR-999999."
    assert refused() == [("maker2", "transfer.see", "transfer:TR-999999")]


def test_an_approval_after_rejection_is_too_late(
    sign_in: SignIn, submitted: Make, checker: User, checker2: User, refused: Refused
) -> None:
    transfer = submitted()
    address = f"/transfers/{transfer.reference}"
    rejected = sign_in(checker2).post(f"{address}/reject/", decision(transfer, reason="Wrong month"), follow=True)
    assert "Checker2 Person rejected it: Wrong month" in rejected.content.decode()

    response = sign_in(checker).post(f"{address}/approve/", decision(transfer))

    assert response.status_code == 409
    assert alert(response) == f"{transfer.reference} is rejected; it does not wait for a decision."
    assert Decision.objects.count() == 1
    assert refused() == [("checker", "transfer.approve", transfer.subject)]


def test_approving_twice_counts_once(sign_in: SignIn, submitted: Make, checker: User, refused: Refused) -> None:
    transfer, client = submitted(amount="50000", reason="Large, so two checkers"), sign_in(checker)
    address = f"/transfers/{transfer.reference}/approve/"
    assert client.post(address, decision(transfer)).status_code == 303

    again = client.post(address, decision(transfer))

    assert again.status_code == 409
    assert alert(again) == "You have decided on this transfer already."
    transfer.refresh_from_db()
    assert (transfer.state, Decision.objects.count()) == (State.SUBMITTED, 1)
    assert refused() == [("checker", "transfer.approve", transfer.subject)]


def test_a_maker_is_told_that_someone_else_must_approve(
    sign_in: SignIn, submitted: Make, maker: User, refused: Refused
) -> None:
    give(maker, CHECKERS)
    transfer, client = submitted(), sign_in(maker)
    sentence = "You drafted this; someone else must approve."

    shown = page_of(client.get(f"/transfers/{transfer.reference}/"))
    assert shown.find_class("own")[0].text_content() == sentence
    assert not [button for button in shown.iter("button") if button.text_content().startswith(("Approve", "Reject"))]

    response = client.post(f"/transfers/{transfer.reference}/approve/", decision(transfer))
    assert response.status_code == 403
    assert alert(response) == sentence
    assert refused() == [("maker", "transfer.approve", transfer.subject)]


def test_a_superuser_without_the_role_may_not_approve(
    sign_in: SignIn, submitted: Make, operator: User, refused: Refused
) -> None:
    transfer = submitted()
    bare = person("root", is_superuser=True)
    for who in (operator, bare):
        assert who.is_superuser
        response = sign_in(who).post(f"/transfers/{transfer.reference}/approve/", decision(transfer))
        assert response.status_code == 403
    assert [(who, action) for who, action, _ in refused()] == [
        ("admin", "transfer.approve"),
        ("root", "transfer.approve"),
    ]
    assert not Decision.objects.exists()


@pytest.mark.parametrize("by_htmx", [False, True])
def test_a_deactivated_checker_is_signed_out_at_once(
    sign_in: SignIn, submitted: Make, checker: User, by_htmx: bool
) -> None:
    transfer, client = submitted(), sign_in(checker)
    deactivate(checker)
    address = f"/transfers/{transfer.reference}/approve/"
    response = (
        htmx(client, "post", address, decision(transfer)) if by_htmx else client.post(address, decision(transfer))
    )

    to = response.headers.get("HX-Redirect") or response.headers["Location"]
    assert to.startswith("/sign-in/")
    assert "undone=1" in to, "the page says that nothing was done"
    assert not Decision.objects.exists()
    assert client.get("/").url.startswith("/sign-in/")


def test_a_rejection_needs_its_reason(sign_in: SignIn, submitted: Make, checker: User, refused: Refused) -> None:
    transfer = submitted()
    response = sign_in(checker).post(f"/transfers/{transfer.reference}/reject/", decision(transfer, reason=" "))

    assert response.status_code == 422
    assert "Say why you reject it" in alert(response)
    assert not Decision.objects.exists()
    assert refused() == []


def test_a_stale_digest_is_refused_and_shows_what_changed(
    sign_in: SignIn, submitted: Make, checker: User, refused: Refused
) -> None:
    transfer = submitted()
    assert transfer.instruction is not None
    seen = transfer.instruction.replace('"amount":"12.5"', '"amount":"1.25"')
    response = sign_in(checker).post(
        f"/transfers/{transfer.reference}/approve/", {"digest": "0" * 64, "instruction": seen}
    )

    assert response.status_code == 409
    assert "is not what your page showed" in alert(response)
    rows = [[cell.text_content() for cell in row] for row in page_of(response).xpath("//*[@role='alert']//tbody/tr")]
    assert ["amount", "1.25", "12.5"] in rows
    assert ["digest", "0" * 64, transfer.digest] in rows
    assert not Decision.objects.exists()
    assert refused() == [("checker", "transfer.approve", transfer.subject)]


def test_an_expired_transfer_is_not_approved(
    sign_in: SignIn, submitted: Make, checker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer, client = submitted(), sign_in(checker)
    later = timezone.now() + timedelta(hours=25)
    monkeypatch.setattr("treasury.web.steps.timezone.now", lambda: later)
    client.force_login(checker)
    response = client.post(f"/transfers/{transfer.reference}/approve/", decision(transfer))

    assert response.status_code == 409
    assert "expired; nothing moved" in alert(response)


def test_what_was_submitted_is_not_edited(sign_in: SignIn, submitted: Make, maker: User, refused: Refused) -> None:
    transfer = submitted()
    response = sign_in(maker).get(f"/transfers/{transfer.reference}/edit/")

    assert response.status_code == 409
    assert "its words are frozen" in alert(response)
    assert refused() == [("maker", "transfer.redraft", transfer.subject)]


def test_what_is_waiting_is_not_drafted_again(sign_in: SignIn, submitted: Make, maker: User) -> None:
    transfer = submitted()
    response = sign_in(maker).post(f"/transfers/{transfer.reference}/draft-again/")

    assert response.status_code == 409
    assert Transfer.objects.count() == 1


def test_draft_again_copies_the_words_into_a_fresh_draft(sign_in: SignIn, submitted: Make, maker: User) -> None:
    old = submitted()
    cancelling.cancel(reference=old.reference, by=maker, at=timezone.now())
    response = sign_in(maker).post(f"/transfers/{old.reference}/draft-again/", follow=True)

    fresh = Transfer.objects.exclude(pk=old.pk).get()
    assert response.redirect_chain == [(f"/transfers/{fresh.reference}/", 303)]
    assert (fresh.state, fresh.copied_from, fresh.key) == (State.DRAFT, old, None)


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_expired_session_inside_htmx_goes_to_sign_in_and_back_to_the_page(db: None, method: str) -> None:
    response = htmx(Client(), method, "/transfers/TR-000001/approve/", page="/transfers/TR-000001/?x=1")

    assert response.status_code == 200
    assert response["HX-Redirect"].startswith("/sign-in/?next=%2Ftransfers%2FTR-000001%2F%3Fx%3D1")
    assert ("undone=1" in response["HX-Redirect"]) == (method == "post")


def test_a_foreign_address_is_not_gone_back_to(db: None) -> None:
    response = Client().get("/", headers={"HX-Request": "true", "HX-Current-URL": "https://evil.example/x"})
    assert response["HX-Redirect"] == "/sign-in/?next=%2F"


@pytest.mark.parametrize("by_htmx", [False, True])
def test_a_csrf_failure_says_that_nothing_was_done(
    sign_in: SignIn, submitted: Make, checker: User, refused: Refused, by_htmx: bool
) -> None:
    transfer, client = submitted(), sign_in(checker, enforce_csrf_checks=True)
    address = f"/transfers/{transfer.reference}/approve/"
    response = (
        htmx(client, "post", address, decision(transfer)) if by_htmx else client.post(address, decision(transfer))
    )

    assert response.status_code == 403
    assert "Nothing was done." in response.content.decode()
    assert ("<html" in response.content.decode()) != by_htmx
    assert response.get("HX-Retarget") == ("#alerts" if by_htmx else None)
    assert refused() == [("checker", "request.refuse", "user:checker")]
    assert not Decision.objects.exists()


def test_losing_the_role_takes_effect_at_once(sign_in: SignIn, submitted: Make, checker: User) -> None:
    transfer, client = submitted(), sign_in(checker)
    take(checker)
    assert client.post(f"/transfers/{transfer.reference}/approve/", decision(transfer)).url.startswith("/sign-in/")
    response = sign_in(checker).post(f"/transfers/{transfer.reference}/approve/", decision(transfer))

    assert response.status_code == 403
    assert alert(response) == "You hold no role here; an administrator can give you one."


def test_words_are_escaped_wherever_they_are_shown(sign_in: SignIn, maker: User, drafted: Make) -> None:
    transfer = drafted(reason="<script>alert(1)</script>")
    for address in (f"/transfers/{transfer.reference}/", "/transfers/?text=<script>alert(1)</script>", "/audit/"):
        assert "<script>alert(1)" not in sign_in(maker).get(address).content.decode()
