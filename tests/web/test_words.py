"""One format for everyone: amounts, moments, ages; and one word for how a transfer stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from connectors.core.errors import TryLater
from connectors.core.protocol import Receipt, Standing
from connectors.core.protocol import State as Found
from tests.house import take
from tests.web.swap import page_of
from treasury import venues
from treasury.audit.record import Machine
from treasury.controls import heartbeats
from treasury.models import NEXT, Attempt, AuditEntry, Heartbeat, Kind, Outcome, State, Transfer, User
from treasury.templatetags import icons
from treasury.templatetags.actors import ACTORS
from treasury.templatetags.treasury import age, amount, figures, moment, proved, until
from treasury.transfers import access, attempts, dispatch, draft, exposure, lifecycle, queries, settle

Make = Callable[..., Transfer]
SOURCES = sorted((Path(__file__).parents[2] / "treasury").rglob("*.py"))
NOW = datetime(2026, 11, 20, 11, 43, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("12.5", "12.5"),
        ("12.500000000000000000", "12.5"),
        ("999", "999"),
        ("1000", "1\u202f000"),
        ("1E+24", "1\u202f000\u202f000\u202f000\u202f000\u202f000\u202f000\u202f000\u202f000"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("1000000000000000000000000.000000000000000001", "1" + "\u202f000" * 8 + ".000000000000000001"),
        ("-1234.5", "\u22121\u202f234.5"),
    ],
)
def test_an_amount_is_whole_grouped_and_never_has_an_exponent(value: str, text: str) -> None:
    assert amount(Decimal(value)) == text
    assert re.sub(r"<.*?>", "", figures(Decimal(value))) == text


def test_an_unknown_amount_is_not_a_zero() -> None:
    assert amount(None) == "—"


def test_moments_are_utc_and_ages_round_down() -> None:
    assert ">20 Nov 2026, 11:43:02 UTC<" in moment(NOW)
    for length, text in {
        timedelta(seconds=42): "42 s ago",
        timedelta(seconds=119): "1 min ago",
        timedelta(hours=47): "47 h ago",
        timedelta(days=3): "3 d ago",
        timedelta(seconds=-3): "0 s ago",
    }.items():
        assert f">{text}<" in age(NOW - length, NOW)
    assert until(NOW + timedelta(hours=23), NOW) == "in 23 h"
    assert until(NOW, NOW) == "over"


def test_every_standing_has_its_icon_and_the_words_of_its_state() -> None:
    for key, standing in queries.STANDINGS.items():
        assert icons.STROKES[key]
        assert standing.key == key
    labels = {standing.label for standing in queries.STANDINGS.values()}
    assert labels == {state.label for state in State} | {"Held", "Outcome unknown", "Contradicted"}


def agree(transfer: Transfer, at: datetime) -> str:
    """What the function says of one; the query must say the same."""
    fresh = Transfer.objects.get(pk=transfer.pk)
    one = queries.standing(fresh, at)
    many = queries.with_standing(Transfer.objects.all(), at).get(pk=transfer.pk)
    assert many.standing_key == one.key
    return one.key


def sending(transfer: Transfer, at: datetime) -> Attempt:
    with transaction.atomic():
        return attempts.enter(lifecycle.locked(transfer.reference), kind=Kind.SEND, at=at, action="transfer.dispatch")


def test_the_function_and_the_query_agree(drafted: Make, submitted: Make, approved: Make, at: datetime) -> None:
    assert agree(drafted(), at) == "draft"
    assert agree(submitted(), at) == "submitted"
    transfer = approved()
    assert agree(transfer, at) == "approved"
    Transfer.objects.filter(pk=transfer.pk).update(held="a stop order stands")
    assert agree(transfer, at) == "held"
    attempt = sending(transfer, at)
    assert agree(transfer, attempt.call_ends_at - timedelta(seconds=1)) == "sending"
    assert agree(transfer, attempt.call_ends_at) == "unknown"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_they_agree_on_every_answer_of_a_venue(approved: Make, at: datetime, outcome: Outcome) -> None:
    transfer = approved()
    attempt = sending(transfer, at)
    Attempt.objects.filter(pk=attempt.pk).update(outcome=outcome, concluded_at=at)
    expected = "unknown" if outcome == Outcome.UNCERTAIN else "sending"
    assert agree(transfer, at + timedelta(days=1)) == expected


@pytest.mark.parametrize("end", sorted(NEXT[State.DISPATCHING] - {State.APPROVED}))
def test_they_agree_on_what_follows_a_send(approved: Make, at: datetime, end: State) -> None:
    transfer = approved()
    sending(transfer, at)
    with transaction.atomic():
        lifecycle.advance(
            lifecycle.locked(transfer.reference),
            end,
            by=Machine("tests"),
            at=at,
            action="transfer.settle",
            due_at=at,
            outcome="It ended.",
        )
    assert agree(transfer, at) == {"DISPATCHED": "sent"}.get(end, end.lower())


def test_money_is_at_risk_in_doubt_and_past_the_settle_limit(approved: Make, maker: User, at: datetime) -> None:
    transfer = approved()
    attempt = sending(transfer, at)
    assert exposure.risks(at) == []
    assert [risk.transfer for risk in exposure.risks(attempt.call_ends_at)] == [transfer]
    with transaction.atomic():
        lifecycle.advance(
            lifecycle.locked(transfer.reference),
            State.DISPATCHED,
            by=Machine("tests"),
            at=at,
            action="transfer.settle",
            due_at=at,
        )
    assert exposure.risks(at + timedelta(minutes=29)) == []
    assert [risk.transfer for risk in exposure.risks(at + timedelta(minutes=31))] == [transfer]


def test_a_draft_is_seen_by_its_maker_and_auditors_and_the_rest_by_everyone_with_a_role(
    drafted: Make, submitted: Make, maker: User, maker2: User, checker: User, auditor: User
) -> None:
    own, sent_in = drafted(), submitted()
    for who, seen in (
        (maker, {own, sent_in}),
        (auditor, {own, sent_in}),
        (maker2, {sent_in}),
        (checker, {sent_in}),
    ):
        assert set(queries.visible_to(who)) == seen
    take(checker)
    assert not queries.visible_to(checker).exists()


def test_a_receipt_for_what_was_given_up_is_money_at_risk_and_is_not_drafted_again(
    sign_in: Callable[..., Client], approved: Make, maker: User, at: datetime
) -> None:
    """A look-up said that it failed; then the slow call came back with a receipt."""
    transfer = approved()
    attempt = dispatch.claim(reference=transfer.reference, at=timezone.now())
    assert attempt is not None
    with transaction.atomic():
        lifecycle.advance(
            lifecycle.locked(transfer.reference),
            State.FAILED,
            by=Machine("tests"),
            at=at,
            action="transfer.fail",
            outcome="Nothing moved. The venue never took it.",
        )
    attempts.conclude(attempt_id=attempt.pk, answer=Receipt(settled=True, record="V1"), now=timezone.now)
    assert [risk.transfer for risk in exposure.risks(at)] == [transfer]
    page = sign_in(maker).get(f"/transfers/{transfer.reference}/").content.decode()
    assert "We do not know whether it moved: it stands as not moved, and the answer to call 1 came late" in page
    assert "Draft again" not in page
    with pytest.raises(access.NotNow, match="may have moved after all"):
        draft.draft_again(reference=transfer.reference, maker=maker, at=at)


def test_the_page_says_outcome_unknown_and_warns_against_sending_again(
    sign_in: Callable[..., Client], approved: Make, maker: User
) -> None:
    transfer = approved()
    sending(transfer, timezone.now() - timedelta(minutes=5))
    text = sign_in(maker).get(f"/transfers/{transfer.reference}/").content.decode()
    assert "chip-unknown" in text
    assert "We do not know yet whether it moved." in text
    overview = sign_in(maker).get("/").content.decode()
    assert "Money at risk" in overview


def shown(client: Client, transfer: Transfer) -> str:
    return re.sub(r"\s+", " ", page_of(client.get(f"/transfers/{transfer.reference}/")).text_content())


def test_what_was_asked_several_times_is_said_with_why_it_cannot_move_twice(
    sign_in: Callable[..., Client], approved: Make, maker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = approved()
    long_ago = timezone.now() - timedelta(minutes=5)
    sending(transfer, long_ago)
    client = sign_in(maker)
    assert "We asked" not in shown(client, transfer)
    for number in (1, 2):
        with transaction.atomic():
            at = long_ago + timedelta(minutes=number)
            attempts.enter(lifecycle.locked(transfer.reference), kind=Kind.RESEND, at=at, action="transfer.resend")
    text = shown(client, transfer)
    assert "We do not know yet whether it moved. We asked 3 times under one key, which cannot move it twice." in text
    assert "do not draft it again" in text
    assert "do not send it again" not in text
    declared = replace(venues.declared("bybit"), resend=None)
    monkeypatch.setattr(venues, "declared", lambda venue: declared)
    assert "cannot move it twice" not in shown(client, transfer)


def test_while_nobody_sends_nothing_is_promised_for_a_moment_from_now(
    sign_in: Callable[..., Client], approved: Make, maker: User
) -> None:
    transfer, client = approved(), sign_in(maker)
    assert "will be sent in a moment" in shown(client, transfer)
    Heartbeat.objects.filter(name=heartbeats.SENDS).update(at=timezone.now() - timedelta(hours=1))
    text = shown(client, transfer)
    assert "Nothing moved yet. It is approved; nothing is being sent now." in text
    assert "in a moment" not in text


def test_what_was_sent_does_not_expire(sign_in: Callable[..., Client], approved: Make, maker: User) -> None:
    transfer, client = approved(), sign_in(maker)
    assert "Expires" in shown(client, transfer)
    sending(transfer, timezone.now() - timedelta(minutes=5))
    assert "Expires" not in shown(client, transfer)


def look_up(transfer: Transfer, answer: Standing | Exception, at: datetime) -> None:
    settle.note(reference=transfer.reference, answer=answer, asked_at=at, at=at)


def test_look_ups_that_said_the_same_are_one_line_and_a_re_send_between_them_is_seen(
    sign_in: Callable[..., Client], approved: Make, maker: User
) -> None:
    transfer = approved()
    start = timezone.now() - timedelta(minutes=5)
    sending(transfer, start)
    nothing = Standing(state=Found.UNCLEAR, searched=True, found=False)
    for second in range(15):
        look_up(transfer, nothing, start + timedelta(seconds=60 + second))
    with transaction.atomic():
        at = start + timedelta(seconds=100)
        attempts.enter(lifecycle.locked(transfer.reference), kind=Kind.RESEND, at=at, action="transfer.resend")
    for second in range(2):
        look_up(transfer, nothing, start + timedelta(seconds=160 + second))
    page = page_of(sign_in(maker).get(f"/transfers/{transfer.reference}/"))
    last = start + timedelta(seconds=74)
    steps = [re.sub(r"\s+", " ", one.text_content()) for one in page.xpath("//p[@class='step']")][-4:]
    assert "The sender began to send it" in steps[0]
    assert "The look-up searched the venue's records and found nothing 15 look-ups, the last at" in steps[1]
    assert f"{last.astimezone(UTC):%H:%M:%S}" in steps[1]
    assert "began to send it again under the same key" in steps[2]
    assert "2 look-ups" in steps[3]
    (calls,) = page.xpath("//section[@aria-labelledby='calls-heading']")
    heads = [one.text_content() for one in calls.xpath("./ul/li/p/strong")]
    assert heads == ["Send 1", "15 look-ups", "Re-send 2", "2 look-ups"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Standing(state=Found.UNCLEAR, searched=False, found=False), "asked the venue; there was nothing to search"),
        (Standing(state=Found.UNCLEAR, searched=True, found=False), "searched the venue's records and found nothing"),
        (Standing(state=Found.DONE, searched=True, found=True, record="V1"), "found it in the venue's records"),
        (TryLater("Too many calls."), "asked the venue and got no answer"),
    ],
)
def test_a_look_up_says_in_words_what_it_found(
    sign_in: Callable[..., Client], approved: Make, maker: User, answer: Standing | Exception, words: str
) -> None:
    transfer = approved()
    sending(transfer, timezone.now() - timedelta(minutes=5))
    look_up(transfer, answer, timezone.now())
    text = shown(sign_in(maker), transfer)
    assert f"The look-up {words}" in text
    for flag in ("UNCLEAR", "unclear", "Searched no", "Found no", "Searched yes", "Found yes"):
        assert flag not in text


def test_every_part_of_the_product_has_a_name_for_people_and_keeps_its_own_in_the_log() -> None:
    parts = set(re.findall(r'Machine\("([^"]+)"\)', "".join(one.read_text() for one in SOURCES)))
    assert parts
    assert parts <= set(ACTORS)


def test_the_timeline_has_every_entry_in_words(sign_in: Callable[..., Client], approved: Make, checker: User) -> None:
    transfer = approved()
    text = sign_in(checker).get(f"/transfers/{transfer.reference}/").content.decode()
    assert text.count('<p class="step">') == AuditEntry.objects.filter(subject=transfer.subject).count() == 3
    for words in ("drafted it", "submitted it for approval", "approved it"):
        assert f"</strong> {words} <span" in text
    assert transfer.digest in text
    assert "&quot;amount&quot;:&quot;12.5&quot;" in text


def test_a_transfer_to_confirm_names_the_venues_deadline_and_never_its_token(
    sign_in: Callable[..., Client], approved: Make, maker: User, at: datetime
) -> None:
    transfer = approved()
    attempt = sending(transfer, at)
    Attempt.objects.filter(pk=attempt.pk).update(
        outcome=Outcome.CHALLENGE,
        concluded_at=at,
        challenge={"token": "hush-hush", "deadline": "2026-11-20T12:00:00+00:00"},
    )
    with transaction.atomic():
        lifecycle.advance(
            lifecycle.locked(transfer.reference),
            State.CONFIRMING,
            by=Machine("tests"),
            at=at,
            action="attempt.conclude",
            due_at=at,
        )
    text = sign_in(maker).get(f"/transfers/{transfer.reference}/").content.decode()
    assert (
        "Nothing moved yet. It waits for a person at the venue to confirm it, until 20 Nov 2026, 12:00:00 UTC." in text
    )
    assert "Confirm at the venue" in text
    assert "hush-hush" not in text


def test_where_nothing_can_be_searched_the_page_sends_people_to_the_venue(
    sign_in: Callable[..., Client], approved: Make, maker: User
) -> None:
    transfer = approved()
    sending(transfer, timezone.now() - timedelta(minutes=5))
    settle.note(
        reference=transfer.reference,
        answer=Standing(state=Found.UNCLEAR, searched=False, found=False),
        asked_at=timezone.now(),
        at=timezone.now(),
    )
    text = sign_in(maker).get(f"/transfers/{transfer.reference}/").content.decode()
    assert "no records of it that can be searched" in text


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        ("password", "by password"),
        ("passkey 1a2b3c4d Blue key", "by passkey “Blue key”"),
        ("passkey 1a2b3c4d", "by passkey"),
        ("passkey", "by passkey"),
        ("totp 7", "by a code of an app"),
        ("recovery code 8", "by a recovery code"),
        ("provider", "by the identity provider"),
        ("session", "by session"),
    ],
)
def test_what_proved_that_it_was_them_is_said_in_words(factor: str, words: str) -> None:
    assert proved(factor) == words
