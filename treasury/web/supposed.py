"""What a what-if supposed, in sentences, each beside what is true now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from treasury.controls import bands
from treasury.models import Account, Balance, Origin, Plan, Unit
from treasury.models.amount import grouped


def supposed_in_words(plan: Plan) -> list[str]:
    """ "Payroll holds 50 000 (truly 189 490.55)"; empty for a plan of the real numbers."""
    if plan.origin != Origin.WHAT_IF:
        return []
    rows = [*plan.overrides.get("balances", []), *plan.overrides.get("bands", [])]
    accounts = Account.objects.in_bulk([row["account"] for row in rows])
    return [*balances(plan, accounts), *limits(plan, accounts)]


def balances(plan: Plan, accounts: Mapping[int, Account]) -> Iterator[str]:
    true = {(one.account_id, one.asset): one.total for one in Balance.objects.filter(account__in=accounts)}
    for row in plan.overrides.get("balances", []):
        total = true.get((row["account"], row["asset"]))
        now = "what it truly holds is not known" if total is None else f"truly {grouped(total)}"
        yield f"{accounts[row['account']].title} holds {grouped(Decimal(row['total']))} ({now})"


def limits(plan: Plan, accounts: Mapping[int, Account]) -> Iterator[str]:
    found = bands.current().filter(account__in=accounts)
    true = {(one.account_id, one.asset): one for one in found}
    for row in plan.overrides.get("bands", []):
        band = true.get((row["account"], row["asset"]))
        now = "it has none" if band is None else f"truly {told(vars(band))}"
        yield f"{accounts[row['account']].title} has the band {told(row)} ({now})"


def told(band: Mapping[str, Any]) -> str:
    """ "100 to 500, target 300"; "5 % with no maximum, target 10 %"."""
    unit = "\u202f%" if band.get("unit") == Unit.SHARE else ""
    minimum, target = (f"{grouped(Decimal(band[word]))}{unit}" for word in ("minimum", "target"))
    most = band["maximum"]
    upto = "with no maximum" if most is None else f"to {grouped(Decimal(most))}{unit}"
    return f"{minimum} {upto}, target {target}"
