"""What transfers of ours do to an account beside what its last reading shows: certain, or nobody can say.

What was submitted, approved, or waits for a confirmation has certainly not moved: it is added and taken away exactly.
Of everything else that may move, or moved around the reading, nobody knows whether the number shows it, so that the
account is *frozen* for the planner, with the sentence that names the transfer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db.models import Q

from treasury.balances.moved import with_ruling
from treasury.balances.movements import CALM
from treasury.models import IN_FLIGHT, Contradiction, State, Transfer
from treasury.transfers import exposure

if TYPE_CHECKING:
    from treasury.balances.moved import Ruled

Key = tuple[int, str]  # an account and an asset

READ_AGAIN = "read the balances again"  # the words of the button that does so
WAITING = (State.SUBMITTED, State.APPROVED, State.CONFIRMING)
AT_RISK: Mapping[exposure.Why, str] = {
    exposure.Why.CONTRADICTED: "money at risk: evidence contradicts how {} stands",
    exposure.Why.UNKNOWN: "money at risk: the outcome of {} is not known",
    exposure.Why.OVERDUE: "money at risk: {} has not settled in its time",
}


@dataclass
class Way:
    """Of one account and asset. ``coming`` and ``going`` have certainly not moved yet, by ``transfers``; ``frozen`` is
    why nobody can say what it holds, by ``unclear``, the numbers of transfers; empty where that is known."""

    coming: Decimal = Decimal(0)
    going: Decimal = Decimal(0)
    transfers: list[Transfer] = field(default_factory=list)
    frozen: str = ""
    unclear: list[int] = field(default_factory=list)


def read(observed: Mapping[Key, datetime], at: datetime) -> Mapping[Key, Way]:
    """What is on its way to and from each of these; of a key that is not named in the answer, nothing is.

    ``observed``: when each was last read, read from the database *before* this is asked, so that whatever settled in
    between shows as settled after the reading and not as certain.
    """
    found: dict[Key, Way] = {}
    risks = {risk.transfer.pk: risk.why for risk in exposure.risks(at)}
    spelled = {(account, asset.upper()): asset for account, asset in observed}
    for transfer in _near(observed):
        for account, change in ((transfer.source_id, -transfer.amount), (transfer.destination_id, transfer.amount)):
            key = (account, transfer.asset)
            if key not in observed:  # written as the source's venue does; another venue may write usdt for USDT
                key = (account, spelled.get((account, transfer.asset.upper()), ""))
            if key not in observed:
                continue
            way = found.setdefault(key, Way())
            if why := _why_unclear(transfer, risks.get(transfer.pk), observed[key]):
                way.frozen = way.frozen or why
                way.unclear.append(transfer.pk)
            elif _waits(transfer):
                way.transfers.append(transfer)
                way.coming += max(change, Decimal(0))
                way.going += max(-change, Decimal(0))
    return found


def _near(observed: Mapping[Key, datetime]) -> Iterable[Ruled]:
    """Every transfer that may matter to these accounts, the riskiest state first, in one statement."""
    accounts = {account for account, _ in observed}
    if not accounts:
        return []
    since = min(observed.values()) - CALM
    moving = Transfer.objects.filter(Q(state__in=[*WAITING, *IN_FLIGHT]) | Q(state=State.SETTLED, changed_at__gt=since))
    disputed = Contradiction.objects.filter(Q(closed_at=None) | Q(closed_at__gt=since)).order_by()
    # A union and no OR: each half has its index, however many transfers have ended.
    keys = moving.order_by().values("pk").union(disputed.values("transfer"))
    ours = Q(source__in=accounts) | Q(destination__in=accounts)
    return with_ruling(Transfer.objects.filter(ours, pk__in=keys)).select_related("connection").order_by("pk")


def _waits(transfer: Ruled) -> bool:
    """Whether it has certainly not moved and still will, as far as anybody has decided."""
    return transfer.state in WAITING and transfer.ruled is not True


def _why_unclear(transfer: Ruled, risk: exposure.Why | None, observed_at: datetime) -> str:
    """Why nobody can say whether the reading shows this transfer; empty where that is clear."""
    name = transfer.reference
    if transfer.contradicted:
        return AT_RISK[exposure.Why.CONTRADICTED].format(name)
    if risk is not None:
        return AT_RISK[risk].format(name)
    if transfer.state in (State.DISPATCHING, State.DISPATCHED):
        return f"{name} is on its way"
    if transfer.state == State.CONFIRMING and transfer.connection.by_hand:
        return f"{name} is being moved by hand"  # it may be done already, and nobody has said so yet
    if transfer.state == State.SETTLED and transfer.changed_at > observed_at - CALM:
        return f"{name} settled {_when(transfer.changed_at, observed_at)}: {READ_AGAIN}"
    if transfer.ruled_at is not None and transfer.ruled_at > observed_at - CALM:
        return f"two people said what became of {name} {_when(transfer.ruled_at, observed_at)}: {READ_AGAIN}"
    return ""


def _when(moment: datetime, observed_at: datetime) -> str:
    """Clocks of two machines differ, so that within CALM nobody can say which came first."""
    return "after the reading" if moment > observed_at + CALM else "within seconds of the reading"
