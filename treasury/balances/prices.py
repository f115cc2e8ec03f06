"""Reference prices: entered or imported by operators, never changed. The newest of an asset and currency counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from treasury.audit.record import record
from treasury.balances import holdings, unusual
from treasury.controls.roles import OPERATORS, holds
from treasury.models import Price, User
from treasury.models.amount import WHOLE_DIGITS, parsed
from treasury.models.turns import one_at_a_time

ASSET_LONGEST, CURRENCY_LONGEST, SOURCE_LONGEST = 40, 10, 120  # what the columns hold
AHEAD_MOST = timedelta(minutes=2)  # a source's clock may be ahead of ours by so much


class MayNotPrice(Exception):
    """The person enters no prices. Nothing was entered."""


class NotEntered(Exception):
    """What was said is no price. Nothing was entered. ``problems`` is {column: sentence}."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(" ".join(("Nothing was entered.", *problems.values())))
        self.problems = problems


@dataclass(frozen=True)
class Said:
    """A price as it is to be entered, in the columns' own form."""

    asset: str
    currency: str
    price: Decimal
    as_of: datetime
    source: str

    @property
    def key(self) -> tuple[str, str]:
        return self.asset, self.currency


def newest(at: datetime, currency: str = "") -> QuerySet[Price]:
    """The price of each asset that counts at that moment, in this currency or in the reporting currency."""
    return newest_of_all(at).filter(currency=currency or settings.REPORTING_CURRENCY)


def newest_of_all(at: datetime) -> QuerySet[Price]:
    """The same for every asset and currency."""
    told = Price.objects.filter(as_of__lte=at)
    return told.order_by("asset", "currency", "-as_of", "-id").distinct("asset", "currency")


def enter(
    *,
    asset: str,
    currency: str,
    price: str,
    as_of: datetime | str,
    source: str,
    by: User,
    at: datetime,
    seen: Collection[str] | None = None,
) -> Price:
    """Enter one price; ``price`` as typed, and ``as_of`` too unless it is a moment. The same once more gives back what
    is there. ``seen``: what is unusual about it, as far as a person was shown it and said that it is right; None where
    no person is asked.

    Raises MayNotPrice for anyone but an operator, NotEntered, unusual.NotSure.
    """
    when = as_of if isinstance(as_of, str) else as_of.isoformat()
    words = {"asset": asset, "currency": currency, "price": price, "as_of": when, "source": source}
    insist(by)
    said = checked(words, at)
    with transaction.atomic():
        if seen is not None:
            lock()
            before = newest_of_all(at).filter(asset=said.asset, currency=said.currency).first()
            warnings = unusual.warnings_of(said, before, holdings.assets_held())
            unusual.insist(warnings, sure=set(warnings) <= set(seen))
        (entered,) = write([said], by=by, at=at)
    return entered


def insist(by: User) -> None:
    """Raises MayNotPrice."""
    if not holds(by, OPERATORS):
        raise MayNotPrice("Nothing was entered. Only operators enter reference prices.")


def write(said: list[Said], *, by: User, at: datetime) -> list[Price]:
    """Write these prices, all in the caller's transaction; what is there already is not written twice."""
    insist(by)
    lock()
    return [already_there(one) or written(one, by, at) for one in said]


def lock() -> None:
    """One at a time enters prices, until the transaction ends: two clicks at once are one."""
    one_at_a_time("prices")


def already_there(said: Said) -> Price | None:
    """This very price, if it is the one that counts for its moment."""
    told = Price.objects.filter(asset=said.asset, currency=said.currency, as_of=said.as_of).order_by("-id").first()
    return told if told is not None and (told.price, told.source) == (said.price, said.source) else None


def written(said: Said, by: User, at: datetime) -> Price:
    before = newest_of_all(at).filter(asset=said.asset, currency=said.currency).first()
    made = Price.objects.create(
        asset=said.asset,
        currency=said.currency,
        price=said.price,
        as_of=said.as_of,
        source=said.source,
        entered_by=by,
        entered_at=at,
    )
    facts = {
        "price": said.price,
        "currency": said.currency,
        "as_of": said.as_of,
        "source": said.source,
        "number": made.pk,
        "before": None if before is None else {"price": before.price, "as_of": before.as_of, "number": before.pk},
    }
    record(at=at, by=by, action="price.enter", subject=f"price:{said.asset}", facts=facts)
    return made


# -- what is said, in the columns' form ----------------------------------------------------------------------


def checked(words: Mapping[str, str], at: datetime) -> Said:
    """The price that these words say, by COLUMNS. Raises NotEntered with all that is wrong."""
    read: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for column, reader in COLUMNS.items():
        try:
            read[column] = reader(words[column])
        except ValueError as wrong:
            problems[column] = str(wrong)
    if "as_of" in read and read["as_of"] - at > AHEAD_MOST:
        problems["as_of"] = "A price cannot be of later than now; times are in UTC."
    if "asset" in read and read["asset"] == read.get("currency"):
        problems["asset"] = f"{read['asset']} is worth 1 {read['asset']} by definition."
    if problems:
        raise NotEntered(problems)
    return Said(**{**read, "as_of": min(read["as_of"], at)})  # a little ahead is another clock


def asset_of(text: str) -> str:
    """The asset's code in capitals. Raises ValueError with the sentence for a person, as all of these do."""
    code = text.strip().upper()
    if not code:
        raise ValueError("Enter the asset.")
    if len(code) > ASSET_LONGEST or not code.isprintable() or any(letter.isspace() for letter in code):
        raise ValueError(f"An asset is one word of at most {ASSET_LONGEST} letters, digits or signs.")
    return code


def currency_of(text: str) -> str:
    code = text.strip().upper()
    if not (code.isascii() and code.isalnum() and len(code) <= CURRENCY_LONGEST):
        raise ValueError(f"A currency is a code of at most {CURRENCY_LONGEST} letters or digits, such as EUR.")
    return code


def price_of(text: str) -> Decimal:
    typed = "".join(letter for letter in text if letter not in " \u00a0\u202f")
    price = parsed(typed, what="the price", whole_digits=WHOLE_DIGITS)
    if not price:
        raise ValueError("A price is more than zero.")
    return price


def moment_of(text: str) -> datetime:
    """ISO 8601, as "2026-11-20 12:00" or "2026-11-20T12:00:00Z"; UTC where no zone is named."""
    try:
        told = datetime.fromisoformat(text.strip())
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("Write the moment as 2026-11-20 12:00, in UTC.") from None


def source_of(text: str) -> str:
    source = " ".join(text.split())
    if not source:
        raise ValueError("Say where the price was read.")
    if len(source) > SOURCE_LONGEST or not source.isprintable():
        raise ValueError(f"The source is a line of at most {SOURCE_LONGEST} characters.")
    return source


COLUMNS: Mapping[str, Callable[[str], Any]] = {
    "asset": asset_of,
    "currency": currency_of,
    "price": price_of,
    "as_of": moment_of,
    "source": source_of,
}
