"""What the policy demands, and that nothing gets round it. One test for each control statement."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction
from django.test import Client
from django.utils import timezone
from lxml import html

from connectors.simulators.core import Simulator
from tests.conftest import say_yes
from tests.house import amend, bare_connection, person, set_policy, set_up
from tests.journeys.conftest import start
from tests.journeys.test_crashes import race
from tests.models.attack import everything, guards_asleep
from tests.statements.proves import proves
from treasury.balances import prices
from treasury.controls import policy, rulebook, rules
from treasury.controls.roles import CHECKERS
from treasury.models import Account, Attempt, AuditEntry, Decision, State, StopOrder, Transfer, User
from treasury.models.amount import grouped, plain
from treasury.transfers import access, approvals, approve, assess, cancel, dispatch, guards, submit

pytestmark = pytest.mark.django_db

Make = Callable[..., Transfer]
ONE = {CHECKERS: 1}


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def form_of(client: Client, transfer: Transfer, step: str) -> dict[str, str]:
    """The hidden fields of that step's form on the transfer's page."""
    page = html.fromstring(client.get(f"/transfers/{transfer.reference}/").content)
    (form,) = page.xpath(f"//form[@action='/transfers/{transfer.reference}/{step}/']")
    return {one.get("name"): one.get("value") for one in form.xpath(".//input[@type='hidden']")}


def posted(client: Client, transfer: Transfer, step: str, **fields: str) -> int:
    said = {"digest": transfer.digest or "", "round": str(transfer.round), "reason": "x", **fields}
    return client.post(f"/transfers/{transfer.reference}/{step}/", said).status_code


def attempted(action: str, user: User) -> int:
    return AuditEntry.objects.filter(action=action, result="refused", who=f"user:{user.pk}").count()


# -- S3 -----------------------------------------------------------------------------------------------------------


@proves("S3", "treasury/transfers/access.py:why_not_decide", "treasury/controls/roles.py:groups_of")
def test_s03_the_superuser_flag_gives_no_right_to_approve_or_to_skip(
    submitted: Make, drafted: Make, maker: User, settings: Any
) -> None:
    settings.READ_SECONDS = 0
    root, flagged_maker = person("root", is_superuser=True), person("mona", "makers", is_superuser=True)
    auditing = person("ada", "auditors", is_superuser=True)
    transfer, own = submitted(), submitted(by=flagged_maker)
    for user, about in ((root, transfer), (auditing, transfer), (flagged_maker, own), (flagged_maker, transfer)):
        before = attempted("transfer.approve", user)
        client = browser(user)
        for step in ("approve", "reject"):
            assert posted(client, about, step) in ((403, 404) if user == root else (403,)), (user, step)
        assert attempted("transfer.approve", user) == before + 1
        with pytest.raises(access.NotAllowed):
            say_yes(about, user)
    assert not Decision.objects.exists()
    assert set(Transfer.objects.values_list("state", flat=True)) == {State.SUBMITTED}
    for one in (transfer, own):
        assert dispatch.claim(reference=one.reference, at=timezone.now()) is None
        with pytest.raises(DatabaseError, match="may not become DISPATCHING"), transaction.atomic():
            Transfer.objects.filter(pk=one.pk).update(state=State.DISPATCHING, due_at=timezone.now())


# -- S5 -----------------------------------------------------------------------------------------------------------


@proves(
    "S5",
    "treasury/transfers/access.py:why_not_decide",
    "treasury/transfers/access.py:why_not_withdraw",
    "treasury/transfers/dispatch.py:claim",
    "treasury/transfers/lifecycle.py:advance",
)
@pytest.mark.django_db(transaction=True)
def test_s05_steps_are_neither_skipped_nor_replayed(
    drafted: Make, submitted: Make, approved: Make, maker: User, checker: User, checker2: User, settings: Any
) -> None:
    settings.READ_SECONDS = 0
    at = timezone.now()
    draft, waiting = drafted(), submitted()
    rejected, expired, cancelled = submitted(), submitted(), submitted()
    assert posted(browser(checker), rejected, "reject", reason="No") == 303
    assert expired.expires_at is not None
    cancel.expire(reference=expired.reference, at=expired.expires_at)
    cancel.cancel(reference=cancelled.reference, by=maker, at=at)
    going, passed = approved(), approved()
    assert dispatch.claim(reference=going.reference, at=timezone.now()) is not None
    steps = {
        draft: ["approve", "reject", "withdraw"],
        waiting: ["submit", "withdraw"],
        rejected: ["approve", "reject", "submit", "cancel", "withdraw"],
        expired: ["approve", "reject", "submit", "cancel", "withdraw"],
        cancelled: ["approve", "reject", "submit", "cancel", "withdraw"],
        passed: ["approve", "reject", "submit"],
        going: ["approve", "reject", "submit", "cancel", "withdraw"],
    }
    for transfer, refused in steps.items():
        transfer.refresh_from_db()
        before = everything() | {"treasury_auditentry": "", "django_session": "", "treasury_user": ""}
        for step in refused:
            who = maker if step in ("submit", "cancel") else checker if transfer == going else checker2
            status = posted(browser(who), transfer, step)
            expected = {404} if transfer == draft else {403} if step == "withdraw" and who == checker2 else {409}
            assert status in expected, (transfer.state, step, status)
        if transfer != passed:
            dispatch.claim(reference=transfer.reference, at=timezone.now())
        after = everything() | {"treasury_auditentry": "", "django_session": "", "treasury_user": ""}
        assert {name for name in after if after[name] != before.get(name)} == set(), transfer.state
    assert Attempt.objects.count() == 1


# -- S6 -----------------------------------------------------------------------------------------------------------

# Kills a copy of itself with SIGKILL before the first, the second, … statement of one step and before its commit, and
# compares every row of every table, until a copy lives to the end.
KILLED = """
import json, os, signal, sys
from datetime import timedelta
import django
django.setup()
from django.conf import settings
from django.db import connection, connections
from django.utils import timezone
from tests.models.attack import everything
from treasury.models import Transfer, User
from treasury.transfers import approve, dispatch, submit, withdraw
step, reference, username = sys.argv[1:]
settings.BALANCE_MAX_AGE = timedelta(hours=1)  # dying so often takes its time

def take():
    transfer, user, at = Transfer.objects.get(reference=reference), User.objects.get(username=username), timezone.now()
    if step == "submit":
        submit.submit(reference=reference, maker=user, at=at)
    elif step == "approve":
        said = {"digest": transfer.digest, "round": transfer.round, "factor": "password"}
        approve.approve(reference=reference, checker=user, at=at, **said)
    elif step == "withdraw":
        withdraw.withdraw(reference=reference, checker=user, at=at)
    else:
        assert dispatch.claim(reference=reference, at=at) is not None

def child(after):
    made = [0]
    def killing(*said):
        made[0] += 1
        if made[0] > after:
            os.kill(os.getpid(), signal.SIGKILL)
    def wrapped(execute, *said):
        killing()
        return execute(*said)
    commit = connection._commit
    def committing():
        killing()
        return commit()
    connection._commit = committing
    with connection.execute_wrapper(wrapped):
        take()

before, killed, same = everything(), 0, True
while True:
    connections.close_all()
    connection.close_pool()  # no copy shares a connection with another
    pid = os.fork()
    if not pid:
        try:
            child(killed)
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    killed += 1
    same = same and everything() == before
print(json.dumps({"killed": killed, "same": same, "ended": os.WEXITSTATUS(status), "changed": everything() != before}))
"""


@proves(
    "S6",
    "treasury/transfers/submit.py:submit",
    "treasury/transfers/approve.py:approve",
    "treasury/transfers/withdraw.py:withdraw",
    "treasury/transfers/dispatch.py:claim",
)
@pytest.mark.django_db(transaction=True)
def test_s06_killed_between_any_two_statements_a_step_leaves_the_former_state(
    drafted: Make, maker: User, checker: User, venue: Simulator
) -> None:
    """Approval, reservation and state change are one transaction: all of a step, or nothing of it."""
    transfer = drafted()
    for step, who, becomes in (
        ("submit", maker, State.SUBMITTED),
        ("approve", checker, State.APPROVED),
        ("withdraw", checker, State.SUBMITTED),
        ("claim", checker, State.DISPATCHING),
    ):
        if step == "claim":
            transfer = say_yes(transfer, checker)
        child = start("-c", KILLED, step, transfer.reference, who.username)
        output, _ = child.communicate(timeout=300)
        said = json.loads(output.strip().splitlines()[-1])
        assert child.returncode == 0, output
        assert said["ended"] == 0, output
        assert said["same"], f"{step} left something behind when it was killed"
        assert said["changed"], "the copy that lived to the end did it"
        assert said["killed"] >= 10, "there were so many statements to die between"
        transfer.refresh_from_db()
        assert transfer.state == becomes
    assert not [one for one in venue.requests("POST") if "transfer" in one.path]


# -- S7 -----------------------------------------------------------------------------------------------------------


@proves(
    "S7",
    "treasury/transfers/lifecycle.py:locked",
    "treasury/transfers/approve.py:approve",
    "treasury/transfers/dispatch.py:claim",
)
@pytest.mark.django_db(transaction=True)
def test_s07_two_checkers_one_dispatch(submitted: Make, checker: User, checker2: User, venue: Simulator) -> None:
    """Two who click together while one is enough; two who click together while it takes both; then twenty workers."""
    for amount, ends in (("12.5", ["APPROVED", "OtherWords or too late"]), ("20000", ["APPROVED", "SUBMITTED"])):
        transfer, together = submitted(amount=amount), Barrier(2)

        def decide(who: User, transfer: Transfer = transfer, together: Barrier = together) -> str:
            try:
                together.wait()
                return str(say_yes_once(transfer, who).state)
            except (access.NotNow, approve.OtherWords):
                return "OtherWords or too late"
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(decide, [checker, checker2])) == ends
        transfer.refresh_from_db()
        assert transfer.state == State.APPROVED
        if amount == "12.5":
            race(transfer, workers=20)
            assert len(venue.requests("POST")) == 1
            assert Attempt.objects.filter(transfer=transfer).count() == 1
            assert len(venue.effects(transfer.key)) == 1


def say_yes_once(transfer: Transfer, checker: User) -> Transfer:
    said = {"digest": transfer.digest or "", "round": transfer.round, "factor": "password"}
    return approve.approve(reference=transfer.reference, checker=checker, at=timezone.now(), **said)


# -- S8 -----------------------------------------------------------------------------------------------------------


@proves("S8", "treasury/transfers/limits.py:insist", "treasury/transfers/limits.py:reached_at_claim")
def test_s08_limits_per_transfer_day_venue_and_maker_hold_for_each_and_for_all(
    drafted: Make, approved: Make, maker: User, maker2: User, checker: User, operator: User
) -> None:
    at = timezone.now()
    prices.enter(asset="USDT", currency="EUR", price="0.5", as_of=at, source="screen", by=operator, at=at)
    other = bare_connection("Bybit second", login="2")
    there = [set_up(other, address, kind=address) for address in ("UNIFIED", "FUND")]
    for account in there:
        account.balances.create(asset="USDT", total=1000, movable=1000, observed_at=at)
    elsewhere = {"source": there[0], "destination": there[1]}
    sent = approved(amount="60")
    assert dispatch.claim(reference=sent.reference, at=timezone.now()) is not None

    kinds: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
        # a limit of 100 (or 50 EUR): what 50 USDT more it stops, and what it lets pass
        "transfer": ({"of": "transfer", "most": "49"}, [{}]),
        "connection": ({"of": "connection", "hours": 24, "most": "100"}, [{}, {"by": maker2}]),
        "venue": ({"of": "venue", "hours": 24, "most": "100"}, [{}, elsewhere, {"by": maker2}]),
        "maker": ({"of": "maker", "hours": 24, "most": "100"}, [{}, elsewhere]),
        "house": ({"of": "house", "hours": 24, "most": "100"}, [{}, elsewhere, {"by": maker2}]),
        "value": ({"of": "house", "hours": 24, "most": "50", "in": "value"}, [{}, elsewhere, {"by": maker2}]),
    }
    assert {limit["of"] for limit, _ in kinds.values()} == set(rulebook.LIMITED)
    passes = {"connection": elsewhere, "maker": {"by": maker2}}
    for name, (limit, stopped) in kinds.items():
        set_policy(limits=[])
        ready = [approved(amount="50", **words) for words in stopped]
        set_policy(limits=[limit], currency="EUR")
        for transfer in ready:  # approved before the limit was set, and held by it
            reached = guards.within_limit(transfer, timezone.now())
            assert isinstance(reached, guards.Hold), (name, transfer)
            assert f"the limit of {grouped(Decimal(limit['most']))}" in reached.words
            assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None
            cancel.cancel(reference=transfer.reference, by=transfer.maker, at=timezone.now())
        for words in stopped:  # and not even submitted after
            draft = drafted(amount="50", **words)
            with pytest.raises(policy.Denied, match=r"Not submitted\..*limit of"):
                submit.submit(reference=draft.reference, maker=draft.maker, at=timezone.now())
            draft.refresh_from_db()
            assert draft.state == State.DRAFT
        if name in passes:
            fine = drafted(amount="50", **passes[name])
            submit.submit(reference=fine.reference, maker=fine.maker, at=timezone.now())
    # The limit of one maker is that of the person, under whatever sign-in.
    set_policy(limits=[{"of": "maker", "hours": 24, "most": "100"}])
    amend(maker2, person=maker.person)
    draft = drafted(amount="50", by=maker2)
    with pytest.raises(policy.Denied, match="limit of 100"):
        submit.submit(reference=draft.reference, maker=maker2, at=timezone.now())


# -- S9 -----------------------------------------------------------------------------------------------------------


@proves("S9", "treasury/controls/rules.py:evaluate", "treasury/transfers/assess.py:asked_of")
def test_s09_an_error_while_a_rule_is_evaluated_is_a_denial(
    drafted: Make, approved: Make, maker: User, checker: User, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each of the checks that rules are made of, for each rule, above and below the one that decides; in a price,
    a sum and the policy's own text; and in the guard of the limits."""
    said = [
        {"name": "lists", "when": {"assets": ["BTC"], "makers": ["nobody"]}, "demands": ONE},
        {"name": "amount", "when": {"over": "1000000"}, "demands": ONE},
        {"name": "value", "when": {"over": "1000000", "in": "value"}, "demands": ONE},
        {"name": "sum", "when": {"volume": {"of": "maker", "over": "1000000"}}, "demands": ONE},
        {"name": "decides", "demands": ONE},
        {"name": "never reached", "when": {"assets": ["DOGE"]}, "forbids": True},
    ]
    at = timezone.now()
    prices.enter(asset="USDT", currency="EUR", price="0.5", as_of=at, source="screen", by=operator, at=at)
    set_policy(rules=said, currency="EUR")
    waiting = approved()

    def denied(draft: Transfer) -> None:
        with pytest.raises(policy.Denied, match="could not be evaluated, and what cannot be evaluated is denied"):
            submit.submit(reference=draft.reference, maker=maker, at=timezone.now())
        draft.refresh_from_db()
        assert (draft.state, draft.assessments.count(), draft.demands.count()) == (State.DRAFT, 0, 0)

    for name in [one["name"] for one in said]:
        for check in ("of_its_lists", "of_its_amount", "of_its_volume"):
            with monkeypatch.context() as broken:
                right = getattr(rules, check)

                def raising(
                    rule: rulebook.Rule, of: rules.Circumstances, name: object = name, right: Any = right
                ) -> str | None:
                    if rule.name == name:
                        raise ZeroDivisionError
                    found: str | None = right(rule, of)
                    return found

                broken.setattr(rules, check, raising)
                reached = assess.would_ask(waiting, at)
                if reached.allowed:  # that rule had said no by an earlier condition already
                    assert (check, name) not in {("of_its_lists", one["name"]) for one in said}
                    continue
                denied(drafted())
    for place in ("value_of", "volume", "circumstances_of"):
        with monkeypatch.context() as broken:
            broken.setattr(assess.Known, place, lambda *said: 1 // 0)
            denied(left := drafted())
            assert assess.would_ask(left, at).sentence == assess.UNANSWERED
    with monkeypatch.context() as broken:
        left = drafted()
        broken.setattr(rulebook, "read", lambda text: json.loads("no policy"))
        denied(left)
        assert assess.would_ask(left, at).sentence == assess.UNANSWERED
    with monkeypatch.context() as broken:
        broken.setattr("treasury.transfers.limits.policy.book_in_force", lambda: 1 // 0)
        assert dispatch.claim(reference=waiting.reference, at=timezone.now()) is None
        waiting.refresh_from_db()
        assert waiting.held.startswith("the check “Are the limits kept?” failed")
    assert submit.submit(reference=drafted().reference, maker=maker, at=timezone.now()).state == State.SUBMITTED


# -- S11 ----------------------------------------------------------------------------------------------------------


@proves(
    "S11",
    "treasury/transfers/guards.py:same_words",
    "treasury/transfers/approvals.py:given",
    "treasury/migrations/0002_guards.py:guard",
)
@pytest.mark.django_db(transaction=True)
def test_s11_any_change_of_its_words_after_an_approval_undoes_every_approval(
    approved: Make, submitted: Make, unified: Account, fund: Account, checker: User, checker2: User, venue: Simulator
) -> None:
    """The database refuses the change; made past it, nothing that was approved counts for the new words."""
    other = bare_connection("Another", login="2", venue="xt")
    there = [set_up(other, address, kind="spot") for address in ("a", "b")]
    changes: dict[str, dict[str, Any]] = {
        "amount": {"amount": "12.50000001"},
        "asset": {"asset": "USDC"},
        "source and destination": {"source": fund, "destination": unified},
        "venue": {"connection": other, "source": there[0], "destination": there[1]},
    }
    for word, columns in changes.items():
        transfer, waiting = approved(), say_yes(submitted(amount="50000"), checker)
        for one in (transfer, waiting):
            with pytest.raises(DatabaseError, match="words are frozen"):
                Transfer.objects.filter(pk=one.pk).update(**columns)
        with guards_asleep():
            Transfer.objects.filter(pk=transfer.pk).update(**columns)
            Transfer.objects.filter(pk=waiting.pk).update(**columns)
        assert dispatch.claim(reference=transfer.reference, at=timezone.now()) is None, word
        transfer.refresh_from_db()
        assert transfer.held == "the instruction is not the one that was approved", word
        assert StopOrder.objects.filter(reason__startswith=transfer.reference).exists(), "and people are called"
        # Given a new instruction as well, it has no approval at all.
        with guards_asleep():
            text = guards.instruction.compose(Transfer.objects.get(pk=waiting.pk))
            digest = guards.instruction.digest(text)
            Transfer.objects.filter(pk=waiting.pk).update(instruction=text, digest=digest)
            StopOrder.objects.all().delete()
        waiting.refresh_from_db()
        assert approvals.still_missing(waiting) == {CHECKERS: 2}, word
        with pytest.raises(DatabaseError, match="without its decisions"):
            Transfer.objects.filter(pk=waiting.pk).update(state=State.APPROVED, due_at=timezone.now())
    assert venue.effects() == []


# -- S12 ----------------------------------------------------------------------------------------------------------


@proves(
    "S12",
    "treasury/transfers/instruction.py:compose",
    "treasury/transfers/approve.py:approve",
    "treasury/transfers/guards.py:same_words",
)
@pytest.mark.django_db(transaction=True)
def test_s12_what_the_checker_saw_is_what_is_approved_and_what_is_sent(
    submitted: Make, checker: User, venue: Simulator
) -> None:
    transfer, client = submitted(amount="123.45678901"), browser(checker)
    shown = client.get(f"/transfers/{transfer.reference}/").content.decode()
    assert grouped(transfer.amount) in shown
    for account in (transfer.source, transfer.destination):
        assert account.address in shown
    form = form_of(client, transfer, "approve")
    words = json.loads(form["instruction"])
    assert (words["amount"], words["asset"]) == (plain(transfer.amount), transfer.asset)
    assert (words["source"], words["destination"]) == (transfer.source.address, transfer.destination.address)
    time.sleep(1.1)  # as long as anybody takes to read it
    address = f"/transfers/{transfer.reference}/approve/"
    for tampered in ({"digest": "0" * 64}, {"digest": ""}, {"round": "2"}):
        assert client.post(address, {**form, **tampered}).status_code == 409
    assert not Decision.objects.exists()
    assert client.post(address, form).status_code == 303
    decision = Decision.objects.get()
    assert (decision.digest, decision.instruction) == (form["digest"], form["instruction"])
    dispatch.dispatch(reference=transfer.reference, now=timezone.now)
    (sent,) = venue.requests("POST")
    body = json.loads(sent.body)
    assert (body["amount"], body["coin"]) == (words["amount"], words["asset"])
    assert (body["fromAccountType"], body["toAccountType"]) == (words["source"], words["destination"])
    assert body["transferId"] == words["key"]
    (arrived,) = venue.effects(transfer.key)
    transfer.refresh_from_db()
    assert transfer.state == State.SETTLED
    assert timezone.now() - transfer.changed_at < timedelta(minutes=1)
    assert arrived
