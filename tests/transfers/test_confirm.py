"""A venue that asks a person: nothing moves until they confirm there and the call is repeated with the token.

No venue of the first release asks; the connector here stands for one that will.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from connectors.core.errors import Refused, TryLater, Uncertain
from connectors.core.protocol import Challenge, ChallengeState, Instruction, Receipt
from treasury.audit.record import Machine
from treasury.controls import stops
from treasury.models import State, Transfer, User
from treasury.transfers import cancel, confirm, dispatch

pytestmark = pytest.mark.django_db

DEADLINE = timedelta(minutes=15)


class Asking:
    """Answers the first send with a challenge, the repeat with ``repeat``."""

    def __init__(self, said: ChallengeState, repeat: object) -> None:
        self.said, self.repeat = said, repeat
        self.sent: list[tuple[Instruction, str | None]] = []

    def send(self, instruction: Instruction, *, answer: str | None = None, **when: object) -> object:
        self.sent.append((instruction, answer))
        if answer is None:
            return Challenge(token="token-1", deadline=timezone.now() + DEADLINE)
        if isinstance(self.repeat, Exception):
            raise self.repeat
        return self.repeat

    def challenge(self, challenge: Challenge) -> ChallengeState:
        assert challenge.token == "token-1"
        return self.said


@pytest.fixture
def asked(approved: Callable[..., Transfer], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Transfer, Asking]]:
    def make(said: ChallengeState, repeat: object = None) -> tuple[Transfer, Asking]:
        venue = Asking(said, repeat)
        transfer = approved()
        monkeypatch.setattr("treasury.venues.open_connection", lambda *_: venue)
        dispatch.dispatch(reference=transfer.reference, now=timezone.now)
        transfer.refresh_from_db()
        assert transfer.state == State.CONFIRMING
        return transfer, venue

    return make


def later(transfer: Transfer, after: timedelta = timedelta(seconds=10)) -> Transfer:
    confirm.confirm(reference=transfer.reference, now=lambda: timezone.now() + after)
    transfer.refresh_from_db()
    return transfer


def test_allowed_it_is_repeated_with_the_token_under_the_same_key(
    asked: Callable[..., tuple[Transfer, Asking]],
) -> None:
    transfer, venue = asked(ChallengeState.ALLOWED, Receipt(settled=True, record="V1"))
    assert later(transfer).state == State.SETTLED
    (first, none), (again, token) = venue.sent
    assert (none, token) == (None, "token-1")
    assert first == again
    assert [attempt.kind for attempt in transfer.attempts.all()] == ["send", "repeat"]


def test_waiting_it_keeps_waiting(asked: Callable[..., tuple[Transfer, Asking]]) -> None:
    transfer, venue = asked(ChallengeState.WAITING)
    assert later(transfer).state == State.CONFIRMING
    assert len(venue.sent) == 1


def test_denied_it_fails_and_nothing_moved(asked: Callable[..., tuple[Transfer, Asking]]) -> None:
    transfer, _ = asked(ChallengeState.DENIED)
    assert later(transfer).state == State.FAILED
    assert transfer.outcome.startswith("Nothing moved.")


def test_past_the_deadline_it_expires(asked: Callable[..., tuple[Transfer, Asking]]) -> None:
    transfer, venue = asked(ChallengeState.ALLOWED, Receipt(settled=True, record="V1"))
    assert later(transfer, DEADLINE + timedelta(seconds=1)).state == State.EXPIRED
    assert len(venue.sent) == 1


def test_a_lost_answer_to_the_repeat_is_doubt_like_any_other(asked: Callable[..., tuple[Transfer, Asking]]) -> None:
    transfer, _ = asked(ChallengeState.ALLOWED, Uncertain("Perhaps."))
    assert later(transfer).state == State.DISPATCHING


def test_a_refused_repeat_fails(asked: Callable[..., tuple[Transfer, Asking]]) -> None:
    transfer, _ = asked(ChallengeState.ALLOWED, Refused("Too late."))
    assert later(transfer).state == State.FAILED


def test_a_repeat_that_was_put_off_is_approved_again(asked: Callable[..., tuple[Transfer, Asking]]) -> None:
    transfer, _ = asked(ChallengeState.ALLOWED, TryLater("Busy."))
    assert later(transfer).state == State.APPROVED


def test_a_stop_order_blocks_the_repeat(asked: Callable[..., tuple[Transfer, Asking]]) -> None:
    transfer, venue = asked(ChallengeState.ALLOWED, Receipt(settled=True, record="V1"))
    stops.stop(connection=transfer.connection, reason="Drill", by=Machine("tests"), at=timezone.now())
    assert later(transfer).state == State.CONFIRMING
    assert len(venue.sent) == 1


def test_its_maker_may_still_cancel(asked: Callable[..., tuple[Transfer, Asking]], maker: User) -> None:
    transfer, venue = asked(ChallengeState.ALLOWED, Receipt(settled=True, record="V1"))
    cancel.cancel(reference=transfer.reference, by=maker, at=timezone.now())
    assert later(transfer).state == State.CANCELLED
    assert len(venue.sent) == 1
