"""What a policy may say, and what it answers: by examples at every border, and by what holds of every policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treasury.controls import rulebook, rules
from treasury.controls.rulebook import NotRules, parse, read, written
from treasury.controls.rules import Circumstances, evaluate

ONE = {"checkers": 1}
many = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def policy(*said: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"rules": [dict(one) for one in said], **more}


def rule(name: str = "r", demands: Mapping[str, int] | None = None, **when: Any) -> dict[str, Any]:
    return {"name": name, "when": when, "demands": dict(demands or ONE)}


def forbids(name: str = "no", **when: Any) -> dict[str, Any]:
    return {"name": name, "when": when, "forbids": True}


PLAIN = Circumstances(
    venue="bybit",
    connection="Bybit main",
    source="Bybit main · UNIFIED",
    destination="Bybit main · FUND",
    asset="USDT",
    amount="100",
    value="86",
    currency="EUR",
    origin="hand",
    maker="mira",
)


def matches(of: Circumstances = PLAIN, **when: Any) -> bool:
    return evaluate(parse(policy(rule(**when), currency="EUR")), of).allowed


# -- what it answers ----------------------------------------------------------------------------------------------


def test_what_no_rule_covers_is_denied() -> None:
    for said in (policy(), policy(rule(assets=["BTC"]))):
        answer = evaluate(parse(said), PLAIN)
        assert (answer.allowed, answer.decided_by, dict(answer.demands)) == (False, None, {})
        assert answer.sentence == "No rule of the policy covers it, and what no rule covers is denied."


def test_the_first_that_matches_decides_and_the_others_say_why_they_did_not() -> None:
    said = policy(rule("btc", assets=["BTC"]), rule("two", {"checkers": 2}), rule("one"), forbids("never"))
    answer = evaluate(parse(said), PLAIN)
    assert (answer.decided_by, dict(answer.demands)) == ("two", {"checkers": 2})
    assert [(one.rule, one.matched) for one in answer.verdicts] == [
        ("btc", False),
        ("two", True),
        ("one", True),
        ("never", True),
    ]
    assert answer.verdicts[0].why == "Its asset is USDT, which the rule does not name."


def test_a_rule_that_forbids_denies_and_stands_above_what_allows() -> None:
    assert not evaluate(parse(policy(forbids(), rule())), PLAIN).allowed
    assert evaluate(parse(policy(rule(), forbids())), PLAIN).allowed


@pytest.mark.parametrize(
    ("when", "yes"),
    [
        ({"venues": ["bybit"]}, True),
        ({"venues": ["xt"]}, False),
        ({"connections": ["Bybit main"]}, True),
        ({"connections": ["Bybit"]}, False),
        ({"sources": ["Bybit main · UNIFIED"]}, True),
        ({"sources": ["Bybit main · FUND"]}, False),
        ({"destinations": ["Bybit main · FUND"]}, True),
        ({"destinations": ["FUND"]}, False),
        ({"assets": ["usdt"]}, True),
        ({"not_assets": ["usDT"]}, False),
        ({"not_assets": ["BTC"]}, True),
        ({"assets": ["USDT"], "not_assets": ["USDT"]}, False),
        ({"origins": ["plan"]}, False),
        ({"origins": ["hand", "plan"]}, True),
        ({"makers": ["mira"]}, True),
        ({"makers": ["milan"]}, False),
        ({"up_to": "100"}, True),
        ({"up_to": "100.000"}, True),
        ({"up_to": "99.999999999999999999"}, False),
        ({"over": "100"}, False),
        ({"over": "99.999999999999999999"}, True),
        ({"up_to": "86", "in": "value"}, True),
        ({"over": "86", "in": "value"}, False),
        ({"over": "10", "up_to": "100"}, True),
    ],
)
def test_each_condition_at_its_border(when: dict[str, Any], yes: bool) -> None:
    assert matches(**when) is yes


def test_an_amount_of_48_digits_is_compared_to_its_last() -> None:
    amount = "999999999999999999999999.999999999999999999"
    of = replace(PLAIN, amount=amount)
    assert matches(of, up_to=amount)
    assert not matches(of, over=amount)
    assert not matches(of, up_to="999999999999999999999999.999999999999999998")


@pytest.mark.parametrize("written_as", ["usdt", "USDT", "UsDt"])
def test_an_asset_is_the_same_in_any_spelling_and_no_spelling_gets_round_a_rule(written_as: str) -> None:
    of = replace(PLAIN, asset=written_as)
    assert matches(of, assets=["USDT"])
    assert not matches(of, not_assets=["Usdt"])


def test_a_person_is_named_by_any_of_their_sign_ins() -> None:
    of = replace(PLAIN, maker="mira", also=["mira2"])
    said = policy(forbids(makers=["mira2"]), rule())
    assert not evaluate(parse(said), of).allowed
    assert evaluate(parse(said), replace(of, also=[])).allowed


def test_a_value_that_is_not_known_is_more_than_any_amount() -> None:
    of = replace(PLAIN, value=None)
    assert not matches(of, up_to="999999999999", **{"in": "value"})
    assert matches(of, over="999999999999", **{"in": "value"})
    assert matches(of, up_to="100"), "of the asset it is known"


@pytest.mark.parametrize(
    ("sum_", "over", "yes"), [("100", "100", False), ("100.01", "100", True), (None, "1000", True), ("0", "0", False)]
)
def test_a_sum_is_more_than_its_border_or_not_known(sum_: str | None, over: str, yes: bool) -> None:
    of = replace(PLAIN, volumes={"maker/24/asset": sum_})
    assert matches(of, volume={"of": "maker", "hours": 24, "over": over}) is yes


# -- errors -------------------------------------------------------------------------------------------------------


BROKEN = [
    ({"up_to": "1"}, {"amount": "NaN"}),
    ({"up_to": "1"}, {"amount": "Infinity"}),
    ({"over": "1"}, {"amount": "1e5"}),
    ({"over": "1"}, {"amount": ""}),
    ({"over": "1"}, {"amount": "-5"}),
    ({"over": "1", "in": "value"}, {"value": "much"}),
    ({"assets": ["BTC"]}, {"asset": None}),
    ({"venues": ["xt"]}, {"venue": 5}),
    ({"makers": ["mira"]}, {"maker": None}),
    ({"volume": {"of": "maker", "over": "1"}}, {"volumes": {}}),
    ({"volume": {"of": "maker", "over": "1"}}, {"volumes": {"maker/24/asset": "NaN"}}),
    ({"volume": {"of": "maker", "over": "1"}}, {"volumes": None}),
]


@pytest.mark.parametrize("place", ["above", "below"])
@pytest.mark.parametrize(("when", "wrong"), BROKEN)
def test_an_error_in_any_rule_denies_even_below_the_one_that_decides(
    when: dict[str, Any], wrong: dict[str, Any], place: str
) -> None:
    bad, good = rule("bad", **when), rule("good")
    book = parse(policy(*([bad, good] if place == "above" else [good, bad]), currency="EUR"))
    answer = evaluate(book, replace(PLAIN, **wrong))
    assert not answer.allowed
    assert "could not be evaluated, and what cannot be evaluated is denied" in answer.sentence
    assert dict(answer.demands) == {}


def test_a_rule_that_raises_anything_at_all_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*said: object) -> str:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(rules, "of_its_volume", raises)
    answer = evaluate(parse(policy(rule("first"), rule("second"))), PLAIN)
    assert not answer.allowed
    assert "“first” could not be evaluated" in answer.sentence


def test_a_rule_that_demands_nobody_lets_nothing_pass() -> None:
    """No policy that is read says so; a rulebook put together otherwise might."""
    book = parse(policy(rule()))
    for demands in ({}, {"checkers": 0}, {"checkers": -1}):
        nobody = replace(book, rules=(replace(book.rules[0], demands=demands),))
        assert not evaluate(nobody, PLAIN).allowed


# -- what may be written ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ([], ""),
        ({"rules": {}}, "rules"),
        ({"rules": [], "extra": 1}, "extra"),
        (policy(rule(name="")), "rules.0.name"),
        (policy(rule(name="  ")), "rules.0.name"),
        (policy(rule(name="a\u200bb")), "rules.0.name"),
        (policy(rule(name="x" * 81)), "rules.0.name"),
        (policy(rule("same"), rule("Same")), "rules.1.name"),
        (policy(rule(assets=[])), "rules.0.when.assets"),
        (policy(rule(assets="USDT")), "rules.0.when.assets"),
        (policy(rule(assets=["USDT "])), "rules.0.when.assets"),
        (policy(rule(not_assets=["US\u200bDT"])), "rules.0.when.not_assets"),
        (policy(rule(assets=[None])), "rules.0.when.assets"),
        (policy(rule(assets=None)), "rules.0.when.assets"),
        (policy(rule(origins=["robot"])), "rules.0.when.origins"),
        (policy(rule(colour=["red"])), "rules.0.when.colour"),
        (policy(rule(over=5)), "rules.0.when.over"),
        (policy(rule(over=5.5)), "rules.0.when.over"),
        (policy(rule(over=None)), "rules.0.when.over"),
        (policy(rule(over="-1")), "rules.0.when.over"),
        (policy(rule(over="1e9")), "rules.0.when.over"),
        (policy(rule(over="1,000")), "rules.0.when.over"),
        (policy(rule(over="NaN")), "rules.0.when.over"),
        (policy(rule(over="5", up_to="5")), "rules.0.when.up_to"),
        (policy(rule(up_to="5", **{"in": "coins"})), "rules.0.when.in"),
        (policy(rule(up_to="5", **{"in": "value"})), "currency"),
        (policy(rule(volume=None)), "rules.0.when.volume"),
        (policy(rule(volume={"of": "maker"})), "rules.0.when.volume.over"),
        (policy(rule(volume={"of": "house", "over": "1"})), "rules.0.when.volume.of"),
        (policy(rule(volume={"of": "maker", "over": "1", "hours": 0})), "rules.0.when.volume.hours"),
        (policy(rule(volume={"of": "maker", "over": "1", "hours": 745})), "rules.0.when.volume.hours"),
        (policy(rule(volume={"of": "maker", "over": "1", "hours": 1.5})), "rules.0.when.volume.hours"),
        (policy({"name": "r", "demands": {}}), "rules.0.demands"),
        (policy({"name": "r"}), "rules.0.demands"),
        (policy({"name": "r", "demands": ONE, "forbids": True}), "rules.0.demands"),
        (policy({"name": "r", "forbids": 1}), "rules.0.demands"),
        (policy({"name": "r", "forbids": "yes"}), "rules.0.demands"),
        (policy({"name": "r", "forbids": False}), "rules.0.demands"),
        (policy({"name": "r", "demands": {"checkers": 0}}), "rules.0.demands.checkers"),
        (policy({"name": "r", "demands": {"checkers": True}}), "rules.0.demands.checkers"),
        (policy({"name": "r", "demands": {"checkers": 1.0}}), "rules.0.demands.checkers"),
        (policy({"name": "r", "demands": {"checkers": 21}}), "rules.0.demands.checkers"),
        (policy({"name": "r", "demands": {"checkers": 20, "leads": 1}}), "rules.0.demands"),
        (policy({"name": "r", "demands": {f"g{n}": 1 for n in range(6)}}), "rules.0.demands"),
        (policy({"name": "r", "demands": {" checkers": 1}}), "rules.0.demands. checkers"),
        (policy({"name": "r", "demands": {1: 1}}), "rules.0.demands.1"),
        (policy({"name": "r", "demands": ONE, "expires_hours": 0}), "rules.0.expires_hours"),
        (policy({"name": "r", "demands": ONE, "expires_hours": True}), "rules.0.expires_hours"),
        (policy({"name": "r", "demands": ONE, "expires_hours": 745}), "rules.0.expires_hours"),
        (policy(rule(), floors={"USDT": None}), "floors.USDT"),
        (policy(rule(), floors={"USDT": 5}), "floors.USDT"),
        (policy(rule(), floors={"USDT": "100", "usdt": "0"}), "floors.usdt"),
        (policy(rule(), floors={"": "1"}), "floors."),
        (policy(rule(), limits=[{"of": "maker"}]), "limits.0.most"),
        (policy(rule(), limits=[{"of": "maker", "most": None}]), "limits.0.most"),
        (policy(rule(), limits=[{"of": "moon", "most": "1"}]), "limits.0.of"),
        (policy(rule(), limits=[{"of": "transfer", "hours": 24, "most": "1"}]), "limits.0.hours"),
        (policy(rule(), limits=[{"of": "maker", "most": "1", "assets": []}]), "limits.0.assets"),
        (policy(rule(), limits=[{"of": "maker", "most": "1", "in": "value"}]), "currency"),
        (policy(rule(), currency="eur"), "currency"),
        (policy(rule(), currency=None), "currency"),
        (policy(*(rule(f"r{n}") for n in range(201))), "rules"),
    ],
)
def test_what_makes_no_policy_is_refused_at_its_place(said: Any, place: str) -> None:
    with pytest.raises(NotRules) as wrong:
        written(said)
    assert place in wrong.value.problems, wrong.value.problems


def test_a_policy_without_end_is_refused_and_the_largest_is_answered_at_once() -> None:
    names = [f"A{n:04d}" for n in range(190)]
    with pytest.raises(NotRules, match="at most 200000 letters"):
        written(policy(*(rule(f"r{n}", assets=names) for n in range(200))))
    large = read(written(policy(*(rule(f"r{n}", assets=names[:100]) for n in range(200)))))
    answer = evaluate(large, PLAIN)
    assert not answer.allowed
    assert len(answer.verdicts) == 200


# -- what holds of every policy -----------------------------------------------------------------------------------


amounts = st.decimals(0, 10**6, places=2, allow_nan=False).map(lambda one: format(one, "f"))
names = st.lists(st.sampled_from(["USDT", "usdt", "BTC", "Eth"]), min_size=1, max_size=3)


@st.composite
def whens(draw: st.DrawFn) -> dict[str, Any]:
    when: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "assets": names,
                "not_assets": names,
                "origins": st.lists(st.sampled_from(rulebook.ORIGINS), min_size=1),
                "venues": st.lists(st.sampled_from(["bybit", "xt"]), min_size=1),
                "makers": st.lists(st.sampled_from(["mira", "milan"]), min_size=1),
                "in": st.sampled_from(["asset", "value"]),
                "volume": st.fixed_dictionaries(
                    {"of": st.sampled_from(rulebook.SCOPES), "over": amounts},
                    optional={"hours": st.integers(1, 744), "in": st.sampled_from(["asset", "value"])},
                ),
            },
        )
    )
    low, high = draw(amounts), draw(amounts)
    if draw(st.booleans()):
        when["over"] = low
    if draw(st.booleans()) and ("over" not in when or Decimal(high) > Decimal(low)):
        when["up_to"] = high
    return when


@st.composite
def policies(draw: st.DrawFn, least: int = 0) -> dict[str, Any]:
    said = []
    for number in range(draw(st.integers(least, 6))):
        one: dict[str, Any] = {"name": f"rule {number}", "when": draw(whens())}
        if draw(st.integers(0, 4)) == 0:
            one["forbids"] = True
        else:
            groups = draw(st.lists(st.sampled_from(["checkers", "leads", "board"]), min_size=1, unique=True))
            one["demands"] = {group: draw(st.integers(1, 5)) for group in groups}
        if draw(st.booleans()):
            one["expires_hours"] = draw(st.integers(1, 744))
        said.append(one)
    return {"rules": said, "limits": [], "floors": draw(st.dictionaries(st.just("USDT"), amounts)), "currency": "EUR"}


@st.composite
def circumstances(draw: st.DrawFn) -> Circumstances:
    sums = st.none() | amounts
    return replace(
        PLAIN,
        asset=draw(st.sampled_from(["USDT", "usdt", "btc", "DOGE"])),
        amount=draw(amounts),
        value=draw(sums),
        origin=draw(st.sampled_from(rulebook.ORIGINS)),
        maker=draw(st.sampled_from(["mira", "other"])),
        volumes={
            f"{of}/{hours}/{unit}": draw(sums) for of in rulebook.SCOPES for hours in (24, 1) for unit in ("asset",)
        },
    )


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | amounts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@many
@given(policies(), circumstances())
def test_the_answer_is_that_of_the_first_rule_that_matches_by_itself(said: dict[str, Any], of: Circumstances) -> None:
    """Unless some rule cannot be evaluated, of which the sums may be missing here: then all is denied."""
    alone = [evaluate(parse({**said, "rules": [one]}), of) for one in said["rules"]]
    answer = evaluate(parse(said), of)
    if any("could not be evaluated" in one.sentence for one in alone):
        assert not answer.allowed
        return
    first = next((n for n, one in enumerate(alone) if one.decided_by is not None), None)
    if first is None:
        assert (answer.allowed, answer.decided_by) == (False, None)
        return
    expected = alone[first]
    assert (answer.allowed, answer.decided_by, answer.demands, answer.expires_hours, answer.sentence) == (
        expected.allowed,
        expected.decided_by,
        expected.demands,
        expected.expires_hours,
        expected.sentence,
    )


@many
@given(policies(), circumstances())
def test_whatever_is_allowed_demands_somebody_and_whatever_is_denied_nobody(
    said: dict[str, Any], of: Circumstances
) -> None:
    answer = evaluate(parse(said), of)
    assert answer.allowed == bool(answer.demands)
    assert all(count >= 1 for count in answer.demands.values())
    assert len(answer.verdicts) == len(said["rules"])


@many
@given(policies(least=1), whens(), st.booleans(), circumstances())
def test_a_rule_below_the_deciding_one_changes_nothing(
    said: dict[str, Any], when: dict[str, Any], no: bool, of: Circumstances
) -> None:
    volumes = {**of.volumes}
    for one in parse({**said, "rules": [*said["rules"], rule("below", **when)]}).volumes:
        volumes.setdefault(one.key, "5")  # each rule can be evaluated
    of = replace(of, volumes=volumes)
    before = evaluate(parse(said), of)
    if before.decided_by is None:
        return
    below = forbids("below", **when) if no else rule("below", {"board": 3}, **when)
    after = evaluate(parse({**said, "rules": [*said["rules"], below]}), of)
    assert {**after.told(), "verdicts": after.told()["verdicts"][:-1]} == before.told()


@many
@given(policies(), st.dictionaries(st.sampled_from(list(Circumstances.__dataclass_fields__)), anything))
def test_evaluating_never_raises_and_what_is_no_amount_is_never_allowed_by_an_amount(
    said: dict[str, Any], wrong: dict[str, Any]
) -> None:
    answer = evaluate(parse(said), replace(PLAIN, **wrong))
    assert answer.allowed == bool(answer.demands)


@many
@given(policies())
def test_what_is_written_reads_back_as_the_same_policy_letter_for_letter(said: dict[str, Any]) -> None:
    text = written(said)
    assert read(text) == parse(said)
    assert written(json.loads(text)) == text
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    turned = json.loads(json.dumps(said), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert written(turned) == text, "the order of the words is no difference"


@many
@given(anything)
def test_whatever_somebody_sends_is_a_policy_or_refused_with_its_places(said: Any) -> None:
    for words in (said, {"rules": said}, {"rules": [said]}, {"rules": [{"name": "r", "when": said, "demands": said}]}):
        try:
            text = written(words)
        except NotRules as wrong:
            assert_places(wrong)
        else:
            assert read(text) == parse(words)


def assert_places(wrong: NotRules) -> None:
    assert wrong.problems
    assert all(sentence.endswith(".") for sentence in wrong.problems.values())
