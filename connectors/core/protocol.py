"""The words that connectors and their callers share.

Amounts are `Decimal` in and out. Moments are aware UTC. An *address* is the venue's own word for an account;
an *asset* is the venue's own code on the wire, exactly as the venue spells it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from connectors.core.http import Wire

CALL_LIMIT = timedelta(seconds=30)

# In a VenueBalance: the row speaks of every asset at its address.
EVERY_ASSET = ""


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One transfer, word for word as it was approved. `key` is the only name the venue may know it by."""

    key: UUID
    source: str
    destination: str
    asset: str
    amount: Decimal
    reference: str


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The venue took it. `settled`: the money has moved, else it will or fail. `record`: the venue's id."""

    settled: bool
    record: str | None
    fee: Decimal | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """Nothing moved: the venue waits for a person. The repeated call hands back `token` as its answer."""

    token: str = field(repr=False)
    deadline: datetime
    evidence: Mapping[str, Any] = field(default_factory=dict)


class ChallengeState(Enum):
    """What became of a Challenge."""

    WAITING = "WAITING"
    ALLOWED = "ALLOWED"
    DENIED = "DENIED"


class State(Enum):
    """What a look-up found. ABSENT is a word of honour: the venue never took it and no longer can."""

    DONE = "DONE"
    PENDING = "PENDING"
    FAILED = "FAILED"
    ABSENT = "ABSENT"
    UNCLEAR = "UNCLEAR"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The answer to a look-up. `searched`: the search was complete. `found`: a record under our key exists.

    UNCLEAR with `found` is an alarm: the record has other words than ours, or a status that nobody knows.
    `record`: the venue's own id of the record the answer rests on.
    """

    state: State
    searched: bool
    found: bool
    evidence: Mapping[str, Any] = field(default_factory=dict)
    record: str | None = None


@dataclass(frozen=True, kw_only=True)
class VenueAccount:
    """An account as the venue knows it. `kind` is one of the venue's `account_kinds`."""

    address: str
    kind: str
    title: str


@dataclass(frozen=True, kw_only=True)
class VenueBalance:
    """What lies at an address. Unreadable: `total` is None and `problem` says why, never a zero.

    `total` is the login's own money, borrowed money taken off (so it may be negative). `movable` is how much
    the venue would let go now, None when it did not say. `asset` is EVERY_ASSET when the whole account is
    unreadable; with a kind for its address, every account of that kind is.
    """

    address: str
    asset: str
    total: Decimal | None
    movable: Decimal | None
    observed_at: datetime
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """Who a login is and what it may do. `clock_offset`: how far the venue's clock is ahead of ours."""

    login: str
    may_transfer: bool
    words: list[str]
    clock_offset: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The venue takes at most `calls` calls of this kind in any stretch of length `per`."""

    calls: int
    per: timedelta


@dataclass(frozen=True, kw_only=True)
class Resend:
    """A re-send under the same key is safe until this long after the first send.

    `after_empty_look_up`: only after a complete search that found nothing. `unsearchable`: the routes (source
    kind, destination kind) on which the venue has nothing to search; there a re-send needs no look-up.
    """

    until: timedelta
    after_empty_look_up: bool
    unsearchable: frozenset[tuple[str, str]] = frozenset()


class Connector(Protocol):
    """One login at one venue. Safe to use from several threads."""

    def check(self) -> Check:
        """Say who the login is and what it may do. Raises TryLater, Barred."""

    def accounts(self) -> list[VenueAccount]:
        """List the accounts that money may be moved between. Raises TryLater, Barred."""

    def balances(self) -> list[VenueBalance]:
        """Read every account, each in at least one row; an unreadable one is a row with a problem.

        An account without a row is taken for unreadable, so an empty one has an asset at 0. Raises Barred if all are
        barred.
        """

    def routes(self) -> list[tuple[str, str]]:
        """The legal (source kind, destination kind) pairs. Asks nobody."""

    def assets(self, source: str, destination: str) -> list[str]:
        """The assets that may move between two addresses. Raises TryLater, Barred; Refused: no route."""

    def send(
        self,
        instruction: Instruction,
        signed_at: datetime | None = None,
        send_before: datetime | None = None,
        answer: str | None = None,
    ) -> Receipt | Challenge:
        """Ask the venue once to move the money. Raises the four; anything else that is raised is a doubt.

        `signed_at` (default: now) is the moment the signature names, so that the venue itself refuses a
        request that was delayed. Nothing is written after `send_before`. `answer` is the token of a confirmed
        Challenge.
        """

    def look_up(
        self,
        instruction: Instruction,
        *,
        sent_at: datetime,
        receipt: Receipt | None = None,
        claimed: Collection[str] = (),
    ) -> Standing:
        """Find out what became of it; reads only. `sent_at` is the first send.

        `claimed`: records that other transfers already rest on; never count one twice.
        Raises TryLater or Barred when the search itself failed, which says nothing about the money.
        """

    def challenge(self, challenge: Challenge) -> ChallengeState:
        """Ask whether a person has confirmed. Raises TryLater, Barred; NotImplementedError: it never asks."""


@dataclass(frozen=True, kw_only=True)
class Venue:
    """What a venue module declares about itself, so that nothing else needs to know a venue by name."""

    title: str
    # A frozen dataclass of str fields; each field's metadata may hold "title" and "secret" (default True).
    # A field with a default may be left out.
    credentials: type[Any]
    # environment -> {label: https URL}; the first environment is production.
    hosts: Mapping[str, Mapping[str, str]]
    build: Callable[[Any, Wire], Connector]
    # kind -> title
    account_kinds: Mapping[str, str]
    # The legal (source kind, destination kind) pairs.
    routes: Sequence[tuple[str, str]]
    limits: Mapping[str, Limit]
    # None: never under the same key.
    resend: Resend | None
    # After so long, an empty and complete search means that the venue never took it. None: it never means
    # that.
    absent_after: timedelta | None
    # A transfer that was taken and is not settled after so long is money at risk.
    settle_limit: timedelta
    # After so long, counted from `signed_at`, the venue refuses a delayed request. None: it never does.
    signed_window: timedelta | None
    accounts_read_per_asset: bool
    # Decimals that the venue takes in an amount; None when nobody knows.
    amount_decimals: int | None
    # Whether a send may end in a Challenge.
    challenges: bool = False
    # Who confirms a Challenge, and where: the rest of the sentence “it waits for …”.
    confirmed_by: str = "a person at the venue"
    call_limit: timedelta = CALL_LIMIT
    # Account kinds whose balance the venue has no complete question for: their rows always name a problem.
    unreadable_kinds: frozenset[str] = frozenset()
    # Whether a record can be found by our key. Where not, two transfers alike must not be on their way together.
    records_carry_key: bool = True
    # People move its money at the venues' own screens: no host, no balances to ask for, each send ends in a Challenge
    # that two people answer; and such a move may join accounts of two connections.
    by_hand: bool = False
    # A number that was read longer ago is stale. None: as the house says.
    stale_after: timedelta | None = None

    def credential_names(self) -> list[str]:
        """The fields of the credentials, in the order to ask for them."""
        return [one.name for one in fields(self.credentials)]

    def required_credential_names(self) -> list[str]:
        """Those of them that have no default, so that a login is never without them."""
        return [one.name for one in fields(self.credentials) if one.default is MISSING]


def plain(amount: Decimal) -> str:
    """An amount for the wire: digits and at most one point, no exponent, no trailing zeros. Never rounds.

    Raises ValueError for an amount that is not a finite number.
    """
    if not amount.is_finite():
        raise ValueError("An amount must be a finite number.")
    written = format(amount, "f")
    return (written.rstrip("0").rstrip(".") if "." in written else written) or "0"


def insist_printable(credentials: Sequence[tuple[str, str]]) -> None:
    """Raise ValueError, without the value, for a credential that no HTTP header could carry."""
    for name, value in credentials:
        if not isinstance(value, str) or not value or not all("!" <= letter <= "~" for letter in value):
            raise ValueError(f"The credential {name} must be printable ASCII without spaces.")
