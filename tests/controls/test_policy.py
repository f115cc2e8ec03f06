"""Which version is in force, how the next one comes, and what the first one of a house says."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from tests.house import person, set_policy
from treasury.controls import changes, policy, rulebook, rules
from treasury.controls.roles import CHECKERS, MAKERS, POLICY_EDITORS
from treasury.controls.rules import Circumstances
from treasury.models import Change, Policy, Transfer, User
from treasury.transfers import guards

ABOVE = {"USDT": Decimal(10000), "BTC": Decimal("0.25"), "*": Decimal(0)}


def demanded(asset: str, amount: str) -> dict[str, int]:
    """Of a transfer under the first policy, as the settings are now."""
    book = rulebook.read(policy.first())
    of = Circumstances("v", "c", "s", "d", asset, amount, None, book.currency, "hand", "m")
    return dict(rules.evaluate(book, of).demands)


@pytest.mark.parametrize(
    ("asset", "amount", "count"),
    [
        ("USDT", "0.000000000000000001", 1),
        ("USDT", "10000", 1),
        ("USDT", "10000.000000000000000001", 2),
        ("USDT", "999999999999999999999999", 2),
        ("BTC", "0.25", 1),
        ("BTC", "0.250000000000000001", 2),
        ("DOGE", "0.000000000000000001", 2),
        ("usdt", "1", 1),  # venues write one asset in both ways
    ],
)
def test_the_first_asks_for_two_above_the_assets_amount_else_one(
    monkeypatch: pytest.MonkeyPatch, asset: str, amount: str, count: int
) -> None:
    monkeypatch.setattr(settings, "TWO_CHECKERS_ABOVE", ABOVE)
    assert demanded(asset, amount) == {CHECKERS: count}


def test_an_asset_that_is_named_nowhere_takes_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "TWO_CHECKERS_ABOVE", {"USDT": Decimal(10000)})
    assert demanded("NEW", "0.01") == {CHECKERS: 2}


def test_a_star_of_its_own_applies_to_every_asset_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "TWO_CHECKERS_ABOVE", {"*": Decimal(5)})
    assert demanded("USDT", "5") == {CHECKERS: 1}
    assert demanded("USDT", "5.1") == {CHECKERS: 2}


def test_an_amount_of_0_always_takes_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "TWO_CHECKERS_ABOVE", {"USDT": Decimal(0), "*": Decimal(100)})
    assert demanded("USDT", "0.000000000000000001") == {CHECKERS: 2}
    assert demanded("BTC", "100") == {CHECKERS: 1}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("amount", "count"), [("10000", 1), ("10000.01", 2)])
def test_submit_writes_the_demands_down(submitted: Callable[..., Transfer], amount: str, count: int) -> None:
    transfer = submitted(amount=amount)
    assert list(transfer.demands.values_list("round", "group", "count")) == [(1, CHECKERS, count)]


@pytest.mark.django_db(transaction=True)
def test_a_later_version_does_not_touch_what_was_submitted(submitted: Callable[..., Transfer]) -> None:
    transfer = submitted(amount="20000")
    set_policy(rules=[{"name": "all", "demands": {CHECKERS: 1}}])
    assert list(transfer.demands.values_list("count", flat=True)) == [2]
    assert transfer.assessments.get().policy.number == 1
    assert list(submitted(amount="20000").demands.values_list("count", flat=True)) == [1]


@pytest.mark.django_db
def test_the_settings_fill_the_first_version_and_govern_nothing_afterwards(
    submitted: Callable[..., Transfer], unified: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = submitted(amount="20000")
    monkeypatch.setattr(settings, "TWO_CHECKERS_ABOVE", {"*": Decimal(10**20)})
    monkeypatch.setattr(settings, "DAILY_LIMITS", {"*": Decimal(0)})
    monkeypatch.setattr(settings, "FLOORS", {"*": Decimal(10**20)})
    second = submitted(amount="20000")
    assert [list(one.demands.values_list("count", flat=True)) for one in (first, second)] == [[2], [2]]
    assert guards.floor_of(second.source, "USDT") == 0
    assert guards.within_limit(second, timezone.now()) is None


@pytest.mark.django_db
def test_the_first_keeps_the_limits_and_floors_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DAILY_LIMITS", {"USDT": Decimal(500), "*": Decimal(0)})
    monkeypatch.setattr(settings, "FLOORS", {"USDT": Decimal("0.5"), "*": Decimal(3)})
    book = rulebook.read(policy.first())
    assert [(one.of, one.hours, one.assets, one.most) for one in book.limits] == [
        ("connection", 24, ("USDT",), 500),
        ("connection", 24, (), 0),
    ]
    assert [policy.floor_of(asset, book.floors) for asset in ("usdt", "USDT", "BTC")] == [Decimal("0.5")] * 2 + [3]


@pytest.mark.django_db
def test_without_a_policy_nothing_is_submitted_and_nothing_must_stay() -> None:
    with pytest.raises(policy.NoPolicy, match="Not submitted"):
        policy.in_force()
    assert policy.floors() == {}


# -- the next version ---------------------------------------------------------------------------------------------


@pytest.fixture
def editor(db: None) -> User:
    return person("editor", POLICY_EDITORS)


@pytest.fixture
def editor2(db: None) -> User:
    return person("editor2", POLICY_EDITORS)


def next_words(name: str = "all") -> dict[str, object]:
    return {**policy.words_of(policy.in_force()), "rules": [{"name": name, "demands": {CHECKERS: 1}}]}


def ask(by: User, name: str = "all") -> Change:
    return policy.propose(words=next_words(name), reason="Simpler", by=by, at=timezone.now())


@pytest.mark.django_db
def test_a_next_version_is_in_force_once_another_editor_confirmed_it(editor: User, editor2: User) -> None:
    change = ask(editor)
    assert policy.in_force().number == 1
    made = policy.confirm(change_id=change.pk, by=editor2, digest=change.digest, at=timezone.now())
    assert (made.number, policy.in_force()) == (2, made)
    assert policy.book_in_force().rules[0].name == "all"


@pytest.mark.django_db
def test_nobody_confirms_their_own_and_nobody_else_than_editors_proposes(editor: User) -> None:
    change = ask(editor)
    again = person("same", POLICY_EDITORS, email=editor.email)
    for by in (editor, again):
        with pytest.raises(changes.MayNotChange, match="You proposed this"):
            policy.confirm(change_id=change.pk, by=by, digest=change.digest, at=timezone.now())
    with pytest.raises(changes.MayNotChange, match="Only policy editors"):
        ask(person("mira", MAKERS, CHECKERS))
    assert Policy.objects.count() == 1


@pytest.mark.django_db
def test_a_proposal_rests_on_the_version_that_it_takes_the_place_of(editor: User, editor2: User) -> None:
    change = ask(editor)
    set_policy(floors={"USDT": "5"})
    with pytest.raises(policy.OtherPolicy, match="Version 2 came into force since"):
        policy.confirm(change_id=change.pk, by=editor2, digest=change.digest, at=timezone.now())
    change.refresh_from_db()
    assert (change.is_open, policy.in_force().number) == (True, 2)


@pytest.mark.django_db
def test_one_next_version_is_decided_on_at_a_time_and_the_same_one_is_none(editor: User, editor2: User) -> None:
    ask(editor)
    with pytest.raises(policy.OtherPolicy, match="is proposed already"):
        ask(editor2, "other")
    with pytest.raises(rulebook.NotRules, match="says so already"):
        policy.propose(words=policy.words_of(policy.in_force()), reason="x", by=editor, at=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_two_confirmations_at_once_make_one_version(editor: User, editor2: User) -> None:
    third, change, start = person("editor3", POLICY_EDITORS), ask(editor), Barrier(2)

    def confirm(by: User) -> str:
        try:
            start.wait()
            return str(policy.confirm(change_id=change.pk, by=by, digest=change.digest, at=timezone.now()))
        except changes.NotWaiting as late:
            return type(late).__name__
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(confirm, [editor2, third])) == ["NotWaiting", "policy version 2"]


@pytest.mark.django_db
def test_a_text_that_could_not_be_read_again_never_comes_into_force() -> None:
    person("somebody", MAKERS)
    with pytest.raises(rulebook.NotRules):
        policy.stored('{"rules":[{"name":"r"}]}', Change(), timezone.now())
    assert Policy.objects.count() == 1


def test_the_rule_above_an_amount_does_not_cover_what_is_below_it() -> None:
    below, above = policy.pair("USDT", Decimal(10000), {"assets": ["USDT"]})
    assert (below["name"], above["name"]) == ("USDT up to 10 000", "USDT above 10 000")
    assert above["when"] == {"assets": ["USDT"], "over": "10000", "in": "asset"}
    assert policy.pair("BTC", Decimal(0), {})[0]["when"] == {}
