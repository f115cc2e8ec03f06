"""What a what-if supposes: other bands, other balances. Read from texts, checked, and never stored as true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from treasury.models import Account, Band, Unit
from treasury.models.amount import WHOLE_DIGITS, NotPlain, parsed, plain

Key = tuple[int, str]  # an account and an asset

BANDS, BALANCES = "bands", "balances"


class NotSupposed(Exception):
    """What was typed is no band or no balance. The text says which, and why."""


@dataclass(frozen=True)
class Supposed:
    """``bands``: (unit or "" for that of the band in force, minimum, target, maximum)."""

    bands: Mapping[Key, tuple[str, Decimal, Decimal, Decimal | None]] = field(default_factory=dict)
    totals: Mapping[Key, Decimal] = field(default_factory=dict)


def read(overrides: Mapping[str, Any] | None) -> Supposed:
    """Raises NotSupposed for what is no number, out of order, or of no account of ours."""
    if not overrides:
        return Supposed()
    if not isinstance(overrides, Mapping) or set(overrides) - {BANDS, BALANCES}:
        raise NotSupposed("Only bands and balances can be supposed.")
    found = Supposed(
        bands={_key(row): _band(row) for row in _rows(overrides, BANDS)},
        totals={_key(row): _number(row, "total", least=None) for row in _rows(overrides, BALANCES)},
    )
    wanted = {account for account, _ in (*found.bands, *found.totals)}
    if Account.objects.filter(pk__in=wanted).count() != len(wanted):
        raise NotSupposed("There is no such account.")
    return found


def plainly(overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same in the one form in which it is stored: plain decimal strings, in order. Raises NotSupposed."""
    found = read(overrides)
    bands = [
        {
            "account": account,
            "asset": asset,
            **({"unit": unit} if unit else {}),
            "minimum": plain(minimum),
            "target": plain(target),
            "maximum": None if maximum is None else plain(maximum),
        }
        for (account, asset), (unit, minimum, target, maximum) in sorted(found.bands.items())
    ]
    balances = [
        {"account": account, "asset": asset, "total": plain(total)}
        for (account, asset), total in sorted(found.totals.items())
    ]
    return {name: rows for name, rows in ((BANDS, bands), (BALANCES, balances)) if rows}


def with_supposed(bands: Sequence[Band], supposed: Supposed, accounts: Mapping[int, Account]) -> list[Band]:
    """The bands in force with the supposed ones in their place; none of these is ever saved."""
    found = {(band.account_id, band.asset): band for band in bands}
    for key, (unit, minimum, target, maximum) in supposed.bands.items():
        if key[0] not in accounts:
            continue
        old = found.get(key)
        found[key] = Band(
            account=accounts[key[0]],
            asset=key[1],
            unit=unit or (old.unit if old else Unit.AMOUNT),
            minimum=minimum,
            target=target,
            maximum=maximum,
            **({name: getattr(old, name) for name in ("floor", "smallest", "largest", "direction")} if old else {}),
        )
    return sorted(found.values(), key=lambda band: (band.account.connection.name, band.asset, band.account.address))


def _rows(overrides: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = overrides.get(name) or []
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, Mapping) for row in rows):
        raise NotSupposed(f"The supposed {name} are no list.")
    return list(rows)


def _key(row: Mapping[str, Any]) -> Key:
    account, asset = row.get("account"), row.get("asset")
    if not isinstance(account, int) or isinstance(account, bool) or not isinstance(asset, str) or not asset:
        raise NotSupposed("What is supposed names an account and an asset.")
    return account, asset


def _band(row: Mapping[str, Any]) -> tuple[str, Decimal, Decimal, Decimal | None]:
    unit = row.get("unit") or ""
    if unit not in ("", *Unit.values):
        raise NotSupposed("A band is in amounts or in shares.")
    minimum, target = _number(row, "minimum"), _number(row, "target")
    maximum = None if row.get("maximum") in (None, "") else _number(row, "maximum")
    if not minimum <= target or (maximum is not None and not target <= maximum):
        raise NotSupposed("A band's minimum is at most its target, and that at most its maximum.")
    if unit == Unit.SHARE and max(target, maximum or target) > 100:
        raise NotSupposed("A share is at most 100 percent.")
    return unit, minimum, target, maximum


def _number(row: Mapping[str, Any], name: str, *, least: Decimal | None = Decimal(0)) -> Decimal:
    try:
        number = parsed(str(row.get(name, "")), whole_digits=WHOLE_DIGITS, signed=True)
    except NotPlain as wrong:
        raise NotSupposed(f"The supposed {name} is no number. {wrong}") from None
    if least is not None and number < least:
        raise NotSupposed(f"The supposed {name} is below 0.")
    return number
