"""By hand: accounts that no API reads, and money that people move at the venues' own screens.

Nothing is ever asked of a network here. A send ends in a Challenge, which is answered by people: the repeated call
hands its token back once they have said that they did it, and that is the receipt. Whether they may say so, and how
many of them, is the affair of whoever repeats the call; whether it is true, no look-up can tell.
"""

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

from connectors.core.errors import TryLater, Uncertain
from connectors.core.http import Wire
from connectors.core.protocol import (
    Challenge,
    ChallengeState,
    Check,
    Instruction,
    Receipt,
    Standing,
    State,
    Venue,
    VenueAccount,
    VenueBalance,
)

DONE_WITHIN = timedelta(hours=24)  # of the call; later, nobody can be sure that it was not done
STALE_AFTER = timedelta(days=7)  # people type a number in when there is a reason to
DESK_LENGTH = 60
KINDS = {
    "wallet": "Wallet",
    "bank": "Bank account",
    "custody": "Account in custody",
    "other": "Other account",
}
ROUTES = tuple(product(KINDS, KINDS))


@dataclass(frozen=True)
class Credentials:
    """No secret: there is nothing to open."""

    desk: str = field(repr=False, metadata={"title": "Name of the desk", "secret": False})

    def __post_init__(self) -> None:
        if not isinstance(self.desk, str) or not self.desk.strip() or not self.desk.isprintable():
            raise ValueError("Say what these accounts are called together.")
        if len(self.desk) > DESK_LENGTH or self.desk != self.desk.strip():
            raise ValueError(f"The name of the desk is at most {DESK_LENGTH} letters, without spaces around it.")


class Manual:
    """One desk. It holds no connection to anything."""

    def __init__(self, credentials: Credentials, wire: Wire) -> None:
        self._desk = credentials.desk

    def check(self) -> Check:
        words = ["People move its money at the venues' own screens; what it holds is typed in."]
        return Check(login=self._desk, may_transfer=True, words=words)

    def accounts(self) -> list[VenueAccount]:
        return []

    def balances(self) -> list[VenueBalance]:
        return []

    def routes(self) -> list[tuple[str, str]]:
        return list(ROUTES)

    def assets(self, source: str, destination: str) -> list[str]:
        raise TryLater("Nobody keeps a list of what can be moved by hand.")

    def send(
        self,
        instruction: Instruction,
        signed_at: datetime | None = None,
        send_before: datetime | None = None,
        answer: str | None = None,
    ) -> Receipt | Challenge:
        token = token_of(instruction.key)
        now = datetime.now(UTC)
        if answer is None:
            if send_before is not None and now > send_before:
                raise TryLater("Not sent. Nothing moved: it was too late to ask anybody for it.")
            return Challenge(token=token, deadline=(signed_at or now) + DONE_WITHIN)
        # By now the money is moved, however late this call is. Another's answer proves nothing either way.
        if not hmac.compare_digest(answer.encode(), token.encode()):
            raise Uncertain("It may have moved. The answer belongs to another transfer.")
        return Receipt(settled=True, record=None, evidence={"said by": "people, who did it by hand"})

    def look_up(
        self,
        instruction: Instruction,
        *,
        sent_at: datetime,
        receipt: Receipt | None = None,
        claimed: Collection[str] = (),
    ) -> Standing:
        return Standing(
            state=State.UNCLEAR, searched=False, found=False, evidence={"not searched": "people did it, or did not"}
        )

    def challenge(self, challenge: Challenge) -> ChallengeState:
        raise NotImplementedError


def token_of(key: UUID) -> str:
    """Of this transfer and no other: SHA-256, lower-case hex."""
    return hashlib.sha256(b"done by hand " + key.bytes).hexdigest()


VENUE = Venue(
    title="By hand",
    credentials=Credentials,
    hosts={"by hand": {}},
    build=Manual,
    account_kinds=KINDS,
    routes=ROUTES,
    limits={},
    resend=None,
    absent_after=None,
    settle_limit=DONE_WITHIN,
    signed_window=None,
    accounts_read_per_asset=False,
    amount_decimals=None,
    challenges=True,
    confirmed_by="somebody to do it at the venues' own screens, and for two people",
    records_carry_key=False,
    by_hand=True,
    stale_after=STALE_AFTER,
)
