"""Did it move? One person proposes what the venue shows, a checker who is neither proposer nor maker confirms it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from connectors.core.errors import Uncertain
from connectors.core.protocol import Receipt, Standing
from connectors.core.protocol import State as Found
from tests.house import give, person, put_forward
from tests.web.doubting import contradicted, doubtful, looked_up, sent, set_clock
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from treasury.balances.refresh import refresh
from treasury.controls.roles import AUDITORS, CHECKERS
from treasury.models import Attachment, AuditEntry, Change, Contradiction, State, Transfer, User

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
SignIn = Callable[..., Client]
NOTE = b"history: nothing found"


@pytest.fixture
def doubt(approved: Make, monkeypatch: pytest.MonkeyPatch) -> Transfer:
    return doubtful(approved(), monkeypatch)


@pytest.fixture
def against(approved: Make) -> Contradiction:
    return contradicted(approved())


def page(transfer: Transfer) -> str:
    return f"/transfers/{transfer.reference}/"


def form(transfer: Transfer, **words: Any) -> dict[str, Any]:
    said = {"moved": "no", "reason": "The history shows nothing", "record": "", "typed": transfer.reference}
    return said | words


def decide(transfer: Transfer, change: Change, **words: Any) -> dict[str, Any]:
    return {"digest": change.digest, "typed": transfer.reference, **words}


def html(client: Client, transfer: Transfer) -> str:
    return str(client.get(page(transfer)).content.decode())


# -- resolve ---------------------------------------------------------------------------------------------------


def test_two_people_resolve_what_no_look_up_could(
    sign_in: SignIn, doubt: Transfer, operator: User, checker2: User
) -> None:
    client = sign_in(operator)
    files = {"files": [SimpleUploadedFile("history.txt", NOTE), SimpleUploadedFile("page.html", b"<b>none</b>")]}
    assert client.post(f"{page(doubt)}resolve/", form(doubt, **files)).status_code == 303
    change = put_forward().get()
    doubt.refresh_from_db()
    assert doubt.state == State.DISPATCHING
    assert (change.words["moved"], change.words["record"]) == (False, None)
    assert [file["name"] for file in change.words["files"]] == ["history.txt", "page.html.txt"]
    assert [one.name for one in change.attachments.all()] == ["history.txt", "page.html.txt"]

    shown = html(sign_in(checker2), doubt)
    for words in ("Admin Person", "The history shows nothing", "history.txt", "Confirm: it did not move"):
        assert words in shown
    answer = sign_in(checker2).post(f"{page(doubt)}changes/{change.pk}/confirm/", decide(doubt, change))
    assert answer.status_code == 303
    doubt.refresh_from_db()
    assert doubt.state == State.FAILED
    after = html(sign_in(checker2), doubt)
    assert "Resolved by two people" in after
    (table,) = by_id(page_of(sign_in(checker2).get(page(doubt))), f"change-{change.pk}").xpath(".//table")
    assert "If it moved" in table.text_content()  # what they decided by stays on the page
    assert "Checker2 Person" in after


def test_it_moved_settles_with_the_venues_record(
    sign_in: SignIn, doubt: Transfer, operator: User, checker2: User
) -> None:
    sign_in(operator).post(f"{page(doubt)}resolve/", form(doubt, moved="yes", record="V-77"))
    change = put_forward().get()
    assert "V-77" in html(sign_in(checker2), doubt)
    sign_in(checker2).post(f"{page(doubt)}changes/{change.pk}/confirm/", decide(doubt, change))
    doubt.refresh_from_db()
    assert doubt.state == State.SETTLED
    assert doubt.resolution.record == "V-77"


def test_nothing_is_chosen_beforehand(sign_in: SignIn, doubt: Transfer, checker: User) -> None:
    shown = page_of(sign_in(checker).get(page(doubt)))
    choices = by_id(shown, "resolve").xpath(".//input[@type='radio']")
    assert [one.get("value") for one in choices] == ["yes", "no"]
    assert not any(one.get("checked") for one in choices)
    (said,) = by_id(shown, "resolve").xpath(".//form")
    assert said.get("enctype") == said.get("hx-encoding") == "multipart/form-data"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"moved": ""}, "Say whether it moved or did not."),
        ({"reason": " "}, "Say why"),
        ({"typed": "TR-000000"}, "to confirm that you mean this transfer"),
        ({"files": SimpleUploadedFile("a.exe", b"MZ\0\1")}, "only these are taken"),
        ({"files": SimpleUploadedFile("a.txt", b"")}, "is empty"),
        ({"files": [SimpleUploadedFile(f"{one}.txt", b"x") for one in range(4)]}, "at most 3 files"),
    ],
)
def test_a_mistake_in_the_form_writes_nothing_and_keeps_what_was_typed(
    sign_in: SignIn, doubt: Transfer, operator: User, refused: Any, words: dict[str, Any], sentence: str
) -> None:
    client = sign_in(operator)
    answer = client.post(f"{page(doubt)}resolve/", form(doubt, **{"record": "V-9", **words}))
    shown = answer.content.decode()
    assert answer.status_code == 422
    assert sentence in shown
    assert "V-9" in shown
    assert "The history shows nothing" in shown or words.get("reason")
    assert not put_forward().exists()
    assert not refused()


def test_what_was_chosen_stays_chosen_after_a_mistake(sign_in: SignIn, doubt: Transfer, operator: User) -> None:
    answer = sign_in(operator).post(f"{page(doubt)}resolve/", form(doubt, moved="yes", typed="no"))
    (chosen,) = page_of(answer).xpath("//input[@type='radio'][@checked]")
    assert chosen.get("value") == "yes"


def test_an_auditor_may_not_propose_and_the_attempt_is_logged(
    sign_in: SignIn, doubt: Transfer, auditor: User, refused: Any
) -> None:
    client = sign_in(auditor)
    assert "may propose to resolve a transfer" in html(client, doubt)
    assert client.post(f"{page(doubt)}resolve/", {"files": SimpleUploadedFile("a.exe", b"MZ\0")}).status_code == 403
    assert refused() == [("auditor", "transfer.resolve", doubt.subject)]
    assert not put_forward().exists()


def test_neither_proposer_nor_maker_confirms(
    sign_in: SignIn, doubt: Transfer, checker: User, maker: User, refused: Any
) -> None:
    sign_in(checker).post(f"{page(doubt)}resolve/", form(doubt))
    change = put_forward().get()
    assert "You proposed this; someone else must confirm it." in html(sign_in(checker), doubt)
    assert "Only checkers may decide this." in html(sign_in(maker), doubt)
    give(maker, CHECKERS)
    assert "You drafted this transfer; someone else must confirm what became of it." in html(sign_in(maker), doubt)
    for someone in (checker, maker):
        answer = sign_in(someone).post(f"{page(doubt)}changes/{change.pk}/confirm/", decide(doubt, change))
        assert answer.status_code == 403
    assert refused() == [
        ("checker", "transfer.resolve", doubt.subject),
        ("maker", "transfer.resolve", doubt.subject),
    ]
    change.refresh_from_db()
    assert change.is_open


def test_confirming_needs_the_reference_typed_and_the_very_words(
    sign_in: SignIn, doubt: Transfer, operator: User, checker2: User
) -> None:
    sign_in(operator).post(f"{page(doubt)}resolve/", form(doubt))
    change, client = put_forward().get(), sign_in(checker2)
    address = f"{page(doubt)}changes/{change.pk}/confirm/"
    assert client.post(address, decide(doubt, change, typed="")).status_code == 422
    assert client.post(address, decide(doubt, change, digest="0" * 64)).status_code == 409
    doubt.refresh_from_db()
    assert doubt.state == State.DISPATCHING


def test_a_declined_proposal_leaves_the_form_for_another(
    sign_in: SignIn, doubt: Transfer, operator: User, checker2: User
) -> None:
    sign_in(operator).post(f"{page(doubt)}resolve/", form(doubt))
    change, client = put_forward().get(), sign_in(checker2)
    assert client.post(f"{page(doubt)}changes/{change.pk}/decline/", {"reason": ""}).status_code == 422
    assert client.post(f"{page(doubt)}changes/{change.pk}/decline/", {"reason": "Wrong day"}).status_code == 303
    shown = html(sign_in(operator), doubt)
    assert "Type" in shown
    assert "declined the proposal to resolve a transfer" in shown
    assert "Wrong day" in shown


def test_the_proposer_withdraws_it_and_nobody_else_does(
    sign_in: SignIn, doubt: Transfer, operator: User, checker2: User
) -> None:
    sign_in(operator).post(f"{page(doubt)}resolve/", form(doubt))
    change = put_forward().get()
    address = f"{page(doubt)}changes/{change.pk}/withdraw/"
    assert sign_in(checker2).post(address).status_code == 403
    assert sign_in(operator).post(address).status_code == 303
    change.refresh_from_db()
    assert change.ruling == "withdrawn"


def test_while_the_call_may_be_under_way_the_page_says_why_nobody_may_resolve(
    sign_in: SignIn, approved: Make, operator: User
) -> None:
    transfer = sent(approved(), Uncertain("Broken."))
    shown = html(sign_in(operator), transfer)
    assert "may still be under way: the call, our one request to the venue" in shown
    answer = sign_in(operator).post(f"{page(transfer)}resolve/", form(transfer))
    assert answer.status_code == 409
    assert not put_forward().exists()


def test_what_is_not_in_doubt_asks_nobody(sign_in: SignIn, approved: Make, operator: User) -> None:
    transfer = sent(approved(), Receipt(settled=False, record="V1"))
    assert "Did it move?" not in html(sign_in(operator), transfer)


def test_what_the_venue_does_not_settle_in_its_time_may_be_resolved(
    sign_in: SignIn, approved: Make, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = sent(approved(), Receipt(settled=False, record="V1"))
    set_clock(monkeypatch, timezone.now() + timedelta(hours=2))
    assert "Did it move?" in html(sign_in(operator), transfer)
    assert sign_in(operator).post(f"{page(transfer)}resolve/", form(transfer, moved="yes")).status_code == 303


def test_a_proposal_that_the_product_overtook_is_not_confirmed(
    sign_in: SignIn, doubt: Transfer, operator: User, checker2: User
) -> None:
    sign_in(operator).post(f"{page(doubt)}resolve/", form(doubt))
    change = put_forward().get()
    found_at_last(doubt)
    shown = sign_in(checker2).get("/changes/").content.decode()
    assert "It cannot be confirmed now." in shown
    assert "Confirm: it did not move" not in shown
    answer = sign_in(checker2).post(f"{page(doubt)}changes/{change.pk}/confirm/", decide(doubt, change))
    assert answer.status_code == 409
    doubt.refresh_from_db()
    assert doubt.state == State.SETTLED


def found_at_last(transfer: Transfer) -> None:
    looked_up(transfer, Standing(state=Found.DONE, searched=True, found=True, record="V1"))
    assert transfer.state == State.SETTLED


def test_both_balances_are_shown_before_and_after_with_what_a_move_would_change(
    sign_in: SignIn, doubt: Transfer, operator: User
) -> None:
    assert "not read since" in html(sign_in(operator), doubt)
    refresh(connection=doubt.connection, at=timezone.now())
    looked_up(doubt)
    table = by_id(page_of(sign_in(operator).get(page(doubt))), "resolve").xpath(".//table")[0].text_content()
    for figure in ("1\u202f000", "\u221212.5", "+12.5", "0"):
        assert figure in table
    assert "not read since" not in table


def test_what_was_read_after_the_decision_is_not_shown_as_what_it_was_decided_by(
    sign_in: SignIn, doubt: Transfer, operator: User, checker2: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(operator).post(f"{page(doubt)}resolve/", form(doubt))
    change = put_forward().get()
    sign_in(checker2).post(f"{page(doubt)}changes/{change.pk}/confirm/", decide(doubt, change))
    set_clock(monkeypatch, timezone.now() + timedelta(minutes=5))
    refresh(connection=doubt.connection, at=timezone.now())
    looked_up(doubt)
    for address in (page(doubt), "/changes/"):
        assert "not read since" in by_id(page_of(sign_in(checker2).get(address)), f"change-{change.pk}").text_content()


def test_a_proposal_about_another_transfer_is_not_found_here(
    sign_in: SignIn, doubt: Transfer, submitted: Make, operator: User, checker2: User
) -> None:
    sign_in(operator).post(f"{page(doubt)}resolve/", form(doubt))
    change = put_forward().get()
    other = submitted()
    answer = sign_in(checker2).post(f"{page(other)}changes/{change.pk}/confirm/", decide(doubt, change))
    assert answer.status_code == 404


def test_without_a_role_nothing_is_seen_or_done(sign_in: SignIn, doubt: Transfer) -> None:
    nobody = sign_in(person("nobody"))
    assert nobody.post(f"{page(doubt)}resolve/", form(doubt)).status_code == 403
    assert not put_forward().exists()


# -- contradictions --------------------------------------------------------------------------------------------


def test_two_people_say_what_is_true(sign_in: SignIn, against: Contradiction, operator: User, checker2: User) -> None:
    transfer = against.transfer
    shown = html(sign_in(operator), transfer)
    assert "The evidence contradicts itself" in shown
    assert "records show that it failed" in shown
    assert "&quot;status&quot;: &quot;failed&quot;" in shown
    address = f"{page(transfer)}contradictions/{against.pk}/close/"
    assert sign_in(operator).post(address, form(transfer)).status_code == 303
    change = put_forward().get()
    assert "What is true: it did not move." in html(sign_in(checker2), transfer)
    sign_in(checker2).post(f"{page(transfer)}changes/{change.pk}/confirm/", decide(transfer, change))
    against.refresh_from_db()
    assert against.moved is False
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    after = html(sign_in(checker2), transfer)
    assert "A contradiction, closed" in after
    closed = by_id(page_of(sign_in(checker2).get(page(transfer))), f"contradiction-{against.pk}")
    assert "If it moved" in closed.xpath(".//table")[0].text_content()
    assert "Admin Person and Checker2 Person say so" in after


def test_a_mistake_stays_in_its_own_form(sign_in: SignIn, against: Contradiction, operator: User) -> None:
    address = f"{page(against.transfer)}contradictions/{against.pk}/close/"
    answer = sign_in(operator).post(address, form(against.transfer, typed="no"))
    assert answer.status_code == 422
    assert "The history shows nothing" in answer.content.decode()
    wrong = f"{page(against.transfer)}contradictions/{against.pk + 1}/close/"
    assert sign_in(operator).post(wrong, form(against.transfer)).status_code == 404


# -- swaps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["confirm", "decline", "withdraw"])
def test_every_swap_equals_a_reload(
    sign_in: SignIn, doubt: Transfer, operator: User, checker2: User, step: str
) -> None:
    target = f"transfer-{doubt.reference}"
    client = sign_in(operator)
    before = page_of(client.get(page(doubt)))
    answer = htmx(client, "post", f"{page(doubt)}resolve/", form(doubt), page=page(doubt))
    assert text_of(swapped(before, answer, target)) == text_of(page_of(client.get(page(doubt))))
    change = put_forward().get()
    client = client if step == "withdraw" else sign_in(checker2)
    before = page_of(client.get(page(doubt)))
    words = decide(doubt, change, reason="Wrong day")
    answer = htmx(client, "post", f"{page(doubt)}changes/{change.pk}/{step}/", words, page=page(doubt))
    assert answer.status_code == 200
    assert text_of(swapped(before, answer, target)) == text_of(page_of(client.get(page(doubt))))


def test_a_mistake_swaps_in_what_the_plain_answer_shows(sign_in: SignIn, doubt: Transfer, operator: User) -> None:
    client, wrong = sign_in(operator), form(doubt, typed="no")
    before = page_of(client.get(page(doubt)))
    answer = htmx(client, "post", f"{page(doubt)}resolve/", wrong, page=page(doubt))
    assert answer.status_code == 422
    plain = client.post(f"{page(doubt)}resolve/", wrong)
    assert text_of(swapped(before, answer, f"transfer-{doubt.reference}")) == text_of(page_of(plain))


# -- the files -------------------------------------------------------------------------------------------------


def test_a_file_comes_back_byte_for_byte_and_opens_nothing(
    sign_in: SignIn, doubt: Transfer, operator: User, auditor: User
) -> None:
    sign_in(operator).post(
        f"{page(doubt)}resolve/", form(doubt, files=SimpleUploadedFile("Verlauf für März.txt", NOTE))
    )
    file = Attachment.objects.get()
    answer = sign_in(auditor).get(f"/changes/{file.change_id}/files/{file.pk}/")
    assert answer.content == NOTE
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["Content-Type"] == "text/plain"
    assert "no-store" in answer["Cache-Control"]
    entry = AuditEntry.objects.get(action="evidence.read")
    assert (entry.actor, entry.subject, entry.facts["sha256"]) == ("auditor", doubt.subject, file.sha256)


def test_a_file_is_not_given_to_strangers(
    sign_in: SignIn, doubt: Transfer, operator: User, client: Client, refused: Any
) -> None:
    sign_in(operator).post(f"{page(doubt)}resolve/", form(doubt, files=SimpleUploadedFile("a.txt", NOTE)))
    file = Attachment.objects.get()
    address = f"/changes/{file.change_id}/files/{file.pk}/"
    assert client.get(address).status_code == 302
    assert sign_in(person("nobody")).get(address).status_code == 403
    assert refused() == [("nobody", "evidence.read", doubt.subject)]
    someone = sign_in(person("someone", AUDITORS))
    assert someone.get(f"/changes/{file.change_id}/files/{file.pk + 1}/").status_code == 404
    assert someone.get(f"/changes/{file.change_id + 1}/files/{file.pk}/").status_code == 404
    assert someone.post(address).status_code == 405


def test_a_body_larger_than_any_form_is_refused_with_a_sentence(
    sign_in: SignIn, doubt: Transfer, operator: User
) -> None:
    client = sign_in(operator)
    huge = form(doubt, files=SimpleUploadedFile("a.txt", b"x" * (17 * 1024 * 1024)))
    for extra in ({}, {"HX-Request": "true"}):
        answer = client.post(f"{page(doubt)}resolve/", huge, headers=extra)
        assert answer.status_code == 413
        assert "too large: at most 3 files of 5 MB" in answer.content.decode()
        huge["files"] = SimpleUploadedFile("a.txt", b"x" * (17 * 1024 * 1024))
    assert answer["HX-Retarget"] == "#alerts"
    words = client.post(f"{page(doubt)}resolve/", form(doubt, reason="x" * (2 * 1024 * 1024)))
    assert words.status_code == 400
    assert "Nothing was done." in words.content.decode()
    assert not put_forward().exists()
