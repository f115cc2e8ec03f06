"""A plan's transfers decided together: each chosen by itself, looked at twice, and a decision of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.house import give, person, set_policy
from tests.web.swap import by_id, htmx, page_of, swapped, text_of
from tests.web.test_pages import works_alone
from treasury.controls import stops
from treasury.controls.roles import CHECKERS
from treasury.models import (
    Account,
    AuditEntry,
    Decision,
    Origin,
    Plan,
    PlanGroup,
    PlanLine,
    PlanState,
    Predecessor,
    State,
    Status,
    Transfer,
    User,
    Verdict,
)
from treasury.models.amount import plain
from treasury.rebalancing import propose
from treasury.transfers import approve as approving
from treasury.transfers import draft as drafting
from treasury.transfers import submit as submitting
from treasury.web import batched

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("still")]

SignIn = Callable[..., Client]
Refused = Callable[[], list[Any]]


def planned(
    maker: User, source: Account, destination: Account, amounts: Sequence[str], *, after: Sequence[int] = ()
) -> tuple[Plan, list[Transfer]]:
    """A plan with a line for each amount, drafted and submitted by the maker. ``after``: numbers of the lines that go
    back from the destination, after line 1."""
    at = timezone.now()
    plan = Plan.objects.create(
        reference=f"PL-{Plan.objects.count() + 1:06d}", origin=Origin.HAND, asked_by=maker, asked_at=at
    )
    Plan.objects.filter(pk=plan.pk).update(state=PlanState.COMPUTING, began_at=at)
    group = PlanGroup.objects.create(
        plan=plan,
        connection=source.connection,
        asset="USDT",
        status=Status.PROVEN,
        inputs="{}",
        digest=hashlib.sha256(b"{}").hexdigest(),
        certificate={},
    )
    for number, amount in enumerate(amounts, start=1):
        ends = (destination, source) if number in after else (source, destination)
        PlanLine.objects.create(
            group=group,
            number=number,
            source=ends[0],
            destination=ends[1],
            asset="USDT",
            amount=Decimal(amount),
            after=[1] if number in after else [],
        )
    Plan.objects.filter(pk=plan.pk).update(state=PlanState.READY, ended_at=at)
    plan.refresh_from_db()
    made: list[Transfer] = []
    for line in propose.lines_of(plan).values():
        words = drafting.Words(line.source, line.destination, "USDT", plain(line.amount), "Friday")
        made.append(drafting.draft(words=words, maker=maker, at=at, planned=line))
        for _ in line.after:
            Predecessor.objects.create(transfer=made[-1], first=made[0])
    return plan, [submitting.submit(reference=one.reference, maker=maker, at=at) for one in made]


@pytest.fixture
def three(maker: User, unified: Account, fund: Account) -> tuple[Plan, list[Transfer]]:
    return planned(maker, unified, fund, ["100", "200", "300"])


def here(plan: Plan) -> str:
    return f"/approvals/plans/{plan.reference}/"


def chosen(transfer: Transfer, verdict: str, reason: str = "") -> dict[str, str]:
    """What the form says of one transfer."""
    return {
        f"choice-{transfer.reference}": verdict,
        f"digest-{transfer.reference}": transfer.digest or "",
        f"round-{transfer.reference}": str(transfer.round),
        f"reason-{transfer.reference}": reason,
    }


def text(response: Any) -> str:
    return " ".join(by_id(page_of(response), "main").text_content().split())


def states(transfers: Sequence[Transfer]) -> list[State]:
    found = dict(Transfer.objects.values_list("pk", "state"))
    return [State(found[one.pk]) for one in transfers]


def test_each_transfer_is_shown_as_its_own_page_shows_it_and_nothing_is_chosen(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User
) -> None:
    plan, transfers = three
    page = page_of(sign_in(checker).get(here(plan)))
    cards = page.find_class("deciding")
    assert [card.get("id") for card in cards] == [f"deciding-{one.reference}" for one in transfers]
    told = " ".join(cards[1].text_content().split())
    for words in (
        "200 USDT",
        "Bybit main · Unified Trading",
        "Bybit main · Funding",
        "Friday",
        "MakerMaker Person",
        "0 of 1 have approved",
        (transfers[1].digest or "")[:4],
        transfers[1].digest or "",
        "1 000",
        "800",
        "1 200",
    ):
        assert words in told, words
    assert page.xpath("//main//input[@type='radio'][@checked]/@value") == ["", "", ""]
    assert not page.xpath("//main//*[contains(translate(., 'ALS', 'als'), 'select all')]")
    for form in page.xpath("//main//form"):
        works_alone(form, here(plan))


def test_the_first_post_decides_nothing_and_the_second_names_both_counts(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User
) -> None:
    plan, (one, two, three_) = three
    client = sign_in(checker)
    said = chosen(one, "approve") | chosen(two, "approve") | chosen(three_, "reject", "Too much")
    page = page_of(client.post(here(plan), said))
    told = " ".join(by_id(page, "main").text_content().split())
    assert "You will approve 2 (300 USDT) and reject 1." in told
    assert "reject it: Too much" in told
    (button,) = page.xpath("//button[@value='decide']")
    assert button.text_content() == "Approve 2 and reject 1"
    assert not Decision.objects.exists()
    assert states([one, two, three_]) == [State.SUBMITTED] * 3
    (form,) = page.xpath("//main//form")
    works_alone(form, here(plan))
    posted = {box.get("name"): box.get("value") for box in form.xpath(".//input[@type='hidden']")}
    answer = client.post(here(plan), posted | {"step": "decide"})
    assert (answer.status_code, answer["Location"]) == (303, here(plan))
    assert states([one, two, three_]) == [State.APPROVED, State.APPROVED, State.REJECTED]


def test_every_decision_is_a_row_of_its_own_with_its_own_digest(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User
) -> None:
    plan, transfers = three
    said = chosen(transfers[0], "approve") | chosen(transfers[2], "reject", "Too much")
    client = sign_in(checker)
    client.post(here(plan), said | {"step": "decide"})
    rows = {one.transfer_id: one for one in Decision.objects.all()}
    assert set(rows) == {transfers[0].pk, transfers[2].pk}  # what was left is left
    for transfer, verdict, reason in ((transfers[0], Verdict.APPROVE, ""), (transfers[2], Verdict.REJECT, "Too much")):
        row = rows[transfer.pk]
        assert (row.verdict, row.by, row.digest, row.instruction, row.reason, row.factor) == (
            verdict,
            checker,
            transfer.digest,
            transfer.instruction,
            reason,
            "password",
        )
    actions = AuditEntry.objects.filter(action__in=["transfer.approve", "transfer.reject"]).order_by("subject")
    assert [one.subject for one in actions] == [transfers[0].subject, transfers[2].subject]
    told = text(client.get(here(plan)))
    assert f"You approved {transfers[0].reference} of 100 USDT" in told
    assert f"You rejected {transfers[2].reference} of 300 USDT" in told
    assert "Too much" in told


def test_a_stale_digest_refuses_that_one_alone(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User, refused: Refused
) -> None:
    plan, (one, two, three_) = three
    stale = chosen(two, "approve") | {f"digest-{two.reference}": "0" * 64}
    said = chosen(one, "approve") | stale | chosen(three_, "approve") | {"step": "decide"}
    answer = sign_in(checker).post(here(plan), said)
    assert answer.status_code == 409
    assert states([one, two, three_]) == [State.APPROVED, State.SUBMITTED, State.APPROVED]
    told = text(answer)
    assert "You approved 2; each decision is in the log by itself. Not decided:" in told
    assert f"{two.reference}: Nothing was decided. {two.reference} is not what your page showed" in told
    assert refused() == [("checker", "transfer.approve", two.subject)]


def test_a_stale_digest_is_found_at_the_second_look_and_its_choice_is_taken_back(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User
) -> None:
    plan, (one, two, _) = three
    said = chosen(one, "approve") | chosen(two, "approve") | {f"digest-{two.reference}": "0" * 64}
    for step in ("look", "choose"):
        answer = sign_in(checker).post(here(plan), said | {"step": step})
        page = page_of(answer)
        assert answer.status_code == (409 if step == "look" else 200)
        assert by_id(page, f"approve-{one.reference}").get("checked") is not None
        assert by_id(page, f"leave-{two.reference}").get("checked") is not None
        assert "It is not what your page showed." in by_id(page, f"deciding-{two.reference}").text_content()
    assert not Decision.objects.exists()


def test_nothing_chosen_is_a_mistake_that_is_not_logged(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User, refused: Refused, submitted: Callable[..., Any]
) -> None:
    plan, (one, *_) = three
    alone = submitted()  # of no plan: not looked at here
    for said in ({}, chosen(one, ""), chosen(one, "settle"), chosen(alone, "approve")):
        for step in ("look", "decide"):
            answer = sign_in(checker).post(here(plan), said | {"step": step})
            assert answer.status_code == 422
            assert "Nothing was decided. Choose Approve or Reject" in text(answer)
    assert not Decision.objects.exists()
    assert refused() == []


@pytest.mark.parametrize("step", ["look", "decide"])
def test_a_rejection_without_its_reason_is_found_before_anything_is_decided(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User, step: str
) -> None:
    plan, (one, two, _) = three
    said = chosen(one, "approve") | chosen(two, "reject", "  ") | {"step": step}
    answer = sign_in(checker).post(here(plan), said)
    page = page_of(answer)
    assert answer.status_code == 422
    assert not Decision.objects.exists()
    assert (
        by_id(page, f"problem-{two.reference}").text_content() == "Say why you reject it; its maker reads the reason."
    )
    assert by_id(page, f"reason-{two.reference}").get("aria-describedby") == f"problem-{two.reference}"
    assert by_id(page, f"approve-{one.reference}").get("checked") is not None
    assert not page.xpath("//*[@id=$name]", name=f"problem-{one.reference}")


def test_what_was_chosen_can_be_changed_before_it_is_decided(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User
) -> None:
    plan, (one, two, three_) = three
    said = chosen(one, "approve") | chosen(two, "reject", "Too much") | {"step": "choose"}
    page = page_of(sign_in(checker).post(here(plan), said))
    assert by_id(page, f"approve-{one.reference}").get("checked") is not None
    assert by_id(page, f"reject-{two.reference}").get("checked") is not None
    assert by_id(page, f"reason-{two.reference}").text_content() == "Too much"
    assert by_id(page, f"leave-{three_.reference}").get("checked") is not None
    assert not Decision.objects.exists()


def test_the_makers_own_is_not_offered_and_cannot_be_decided(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], maker: User, checker: User, refused: Refused
) -> None:
    plan, (one, *_) = three
    give(maker, CHECKERS)  # past the verbs: nobody is given both
    client = sign_in(maker)
    told = text(client.get(here(plan)))
    assert "Nothing of PL-000001 waits for you." in told
    assert "You drafted 3 more of this plan; someone else must approve." in told
    answer = client.post(here(plan), chosen(one, "approve") | {"step": "decide"})
    assert answer.status_code == 403
    assert "You drafted this; someone else must approve." in text(answer)
    assert refused() == [("maker", "transfer.approve", one.subject)]
    assert not Decision.objects.exists()


def test_two_checkers_with_the_same_page_open_decide_each_once(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User, checker2: User
) -> None:
    plan, (one, two, _) = three
    said = chosen(one, "approve") | {"step": "decide"}
    assert sign_in(checker).post(here(plan), said).status_code == 303
    answer = sign_in(checker2).post(here(plan), said | chosen(two, "approve"))
    assert answer.status_code == 409
    assert f"{one.reference} is approved; it does not wait for a decision." in text(answer)
    assert states([one, two]) == [State.APPROVED, State.APPROVED]
    assert Decision.objects.count() == 2
    look = sign_in(checker2).post(here(plan), chosen(one, "approve") | {"step": "look"})
    assert look.status_code == 409
    assert f"{one.reference} no longer waits for you." in text(look)


def test_what_needs_two_says_how_many_have_approved(
    sign_in: SignIn,
    maker: User,
    unified: Account,
    fund: Account,
    checker: User,
    checker2: User,
) -> None:
    small = {"name": "Up to 150", "when": {"up_to": "150"}, "demands": {CHECKERS: 1}}
    set_policy(rules=[small, {"name": "All", "demands": {CHECKERS: 2}}])
    plan, (one, two) = planned(maker, unified, fund, ["100", "200"])
    said = chosen(one, "approve") | chosen(two, "approve") | {"step": "decide"}
    sign_in(checker).post(here(plan), said)
    assert states([one, two]) == [State.APPROVED, State.SUBMITTED]
    told = text(sign_in(checker2).get(here(plan)))
    assert "1 of 2 has approved" in told
    assert one.reference not in told
    assert "Nothing of PL-000001 waits for you. 1 of this plan waits for others." in text(
        sign_in(checker).get(here(plan))
    )


@pytest.mark.parametrize("method", ["get", "post"])
def test_only_a_checker_decides(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], maker2: User, auditor: User, refused: Refused, method: str
) -> None:
    plan, (one, *_) = three
    nobody = person("nobody")
    for somebody, sentence in (
        (maker2, "Only a checker may decide on transfers."),
        (auditor, "Only a checker may decide on transfers."),
        (nobody, "You hold no role here"),
    ):
        answer = getattr(sign_in(somebody), method)(here(plan), chosen(one, "approve") | {"step": "decide"})
        assert answer.status_code == 403
        assert sentence in text(answer)
    assert [one[0] for one in refused()] == ["maker2", "auditor", "nobody"]
    assert not Decision.objects.exists()


def test_a_plan_that_is_not_there_is_not_found(sign_in: SignIn, checker: User) -> None:
    assert sign_in(checker).get("/approvals/plans/PL-999999/").status_code == 404


def test_approvals_that_together_exceed_what_an_account_can_give_are_warned_of(
    sign_in: SignIn, maker: User, unified: Account, fund: Account, checker: User
) -> None:
    plan, (one, two, three_) = planned(maker, unified, fund, ["600", "300", "500"])
    client = sign_in(checker)
    warned = text(client.post(here(plan), chosen(one, "approve") | chosen(three_, "approve")))
    assert "Together they take 1 100 USDT out of Bybit main · Unified Trading, of which 1 000 can" in warned
    assert "Together they take" not in text(client.post(here(plan), chosen(one, "approve") | chosen(two, "approve")))
    assert "Together they take" not in text(
        client.post(here(plan), chosen(one, "approve") | chosen(three_, "reject", "Too much"))
    )


def test_what_comes_first_is_named_counted_and_missed_when_it_is_rejected(
    sign_in: SignIn, maker: User, unified: Account, fund: Account, checker: User
) -> None:
    plan, (first, second, third) = planned(maker, unified, fund, ["100", "550", "540"], after=(2, 3))
    client = sign_in(checker)
    card = by_id(page_of(client.get(here(plan))), f"deciding-{second.reference}")
    assert f"Goes after{first.reference}" in " ".join(card.text_content().split())
    back = chosen(second, "approve") | chosen(third, "approve")
    assert "Together they take" not in text(client.post(here(plan), chosen(first, "approve") | back))
    told = text(client.post(here(plan), chosen(first, "reject", "Not now") | back))
    assert f"{second.reference} goes after {first.reference}, which you reject: it will be cancelled." in told
    assert "Together they take 1 090 USDT out of Bybit main · Funding" in told


def test_a_transfer_that_is_too_large_by_itself_and_a_stop_are_said_where_it_is(
    sign_in: SignIn, maker: User, unified: Account, fund: Account, checker: User, operator: User
) -> None:
    plan, (one, two) = planned(maker, unified, fund, ["1200", "5"])
    stops.stop(connection=unified.connection, reason="Drill", by=operator, at=timezone.now())
    page = page_of(sign_in(checker).get(here(plan)))
    assert (
        "Only 1\u202f000 USDT of Unified Trading can be moved now."
        in by_id(page, f"deciding-{one.reference}").text_content()
    )
    for transfer in (one, two):
        assert "Bybit main is stopped since" in by_id(page, f"deciding-{transfer.reference}").text_content()
    assert "Only " not in by_id(page, f"deciding-{two.reference}").text_content()


def test_every_swap_equals_a_reload_but_for_what_became_of_each(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User
) -> None:
    plan, (one, two, three_) = three
    client = sign_in(checker)
    said = chosen(one, "approve") | chosen(two, "reject", "Too much")
    for data in ({}, said, said | {"step": "choose"}, chosen(two, "reject")):
        page = page_of(client.get(here(plan)))
        part = htmx(client, "post", here(plan), data, page=here(plan))
        plain = client.post(here(plan), data)
        assert part.status_code == plain.status_code
        assert text_of(swapped(page, part, "batch")) == text_of(page_of(plain))
    page = page_of(client.get(here(plan)))
    after = swapped(page, htmx(client, "post", here(plan), said | {"step": "decide"}, page=here(plan)), "batch")
    (outcome,) = by_id(after, "batch").xpath(".//p[@role='status']")
    assert "You approved 1 and rejected 1" in outcome.text_content()
    outcome.getparent().remove(outcome)
    assert text_of(after) == text_of(page_of(client.get(here(plan))))
    assert states([one, two, three_]) == [State.APPROVED, State.REJECTED, State.SUBMITTED]


def test_a_page_asks_the_database_as_often_for_many_as_for_two(
    sign_in: SignIn, maker: User, unified: Account, fund: Account, checker: User
) -> None:
    client, counts = sign_in(checker), []
    for amounts in (["1", "2"], [str(number) for number in range(1, 13)]):
        plan, transfers = planned(maker, unified, fund, amounts)
        said: dict[str, str] = {}
        for one in transfers:
            said |= chosen(one, "approve")
        client.get(here(plan))
        with CaptureQueriesContext(database) as form:
            client.get(here(plan))
        with CaptureQueriesContext(database) as look:
            client.post(here(plan), said)
        with CaptureQueriesContext(database) as inbox:
            client.get("/approvals/")
        counts.append((len(form), len(look), len(inbox)))
    assert counts[0] == counts[1]


def test_one_form_has_an_end_and_says_how_much_more_there_is(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "SHOWN", 2)
    page = page_of(sign_in(checker).get(here(three[0])))
    assert len(page.find_class("deciding")) == 2
    assert "1 more of this plan waits for you" in by_id(page, "main").text_content()


def test_approvals_offer_what_belongs_to_one_plan_together(
    sign_in: SignIn,
    three: tuple[Plan, list[Transfer]],
    maker: User,
    unified: Account,
    fund: Account,
    submitted: Callable[..., Transfer],
    checker: User,
) -> None:
    alone = submitted()
    _, (single,) = planned(maker, unified, fund, ["7"])
    page = page_of(sign_in(checker).get("/approvals/"))
    (together,) = page.find_class("together")
    assert " ".join(together.text_content().split()).startswith("3 of PL-000001: Decide on them together")
    assert together.xpath("./a[@class='button']/@href") == [here(three[0])]
    lots = [[item.get("id") for item in lot.xpath("./li")] for lot in page.find_class("cards")]
    assert lots == [
        [f"waiting-{one.reference}" for one in three[1]],
        [f"waiting-{alone.reference}", f"waiting-{single.reference}"],
    ]


def test_an_approval_made_elsewhere_meanwhile_does_not_stop_the_rest(
    sign_in: SignIn, three: tuple[Plan, list[Transfer]], checker: User
) -> None:
    """In another window of their own: the decision that is there stays the only one."""
    plan, (one, two, _) = three
    assert one.digest is not None
    approving.approve(
        reference=one.reference, checker=checker, digest=one.digest, round=1, factor="password", at=timezone.now()
    )
    answer = sign_in(checker).post(
        here(plan), chosen(one, "reject", "No") | chosen(two, "approve") | {"step": "decide"}
    )
    assert answer.status_code == 409
    assert states([one, two]) == [State.APPROVED, State.APPROVED]
