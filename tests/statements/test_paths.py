"""No ungoverned path: anybody does anything, anywhere, in any order, and nothing is sent that was not approved.

After every step the database's rows are read by code that shares nothing with the product (tests.statements.from_rows):
whatever was claimed has its assessment under the version of its submission, the demands of that, approvals by so many
different natural persons in those groups, none of them its maker, and an entry for each step.

That it can fail is tried with each run: ``test_the_search_finds_a_path_that_is_open`` breaks the product in three
places, one after the other, and the search finds each.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.db import DatabaseError, transaction
from django.db import connection as database
from hypothesis import HealthCheck, Phase
from hypothesis import settings as trials
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import treasury.balances
import treasury.controls
import treasury.transfers
from connectors.simulators.core import Practice, Simulator
from tests.house import SETUP, amend, connect, deactivate, give, set_policy, take
from tests.journeys.test_model import Hours, hours, quick  # noqa: F401  (its clock, and a venue that costs no time)
from tests.statements import crowd
from tests.statements.crowd import LEADS, NAMES, POLICIES, SHELL, user
from tests.statements.from_rows import Witness
from tests.statements.proves import proves
from treasury import tasks
from treasury.balances.refresh import refresh
from treasury.controls import changes, memberships, policy, rules, stops
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, OPERATORS
from treasury.models import Attempt, Change, State, Transfer
from treasury.transfers import (
    approvals,
    approve,
    attempts,
    cancel,
    dispatch,
    draft,
    guards,
    lifecycle,
    resolve,
    settle,
    withdraw,
)
from treasury.transfers import submit as submitting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# How the product refuses: by a sentence, or at the last door by the database.
REFUSED = (*crowd.raised_by(treasury.controls, treasury.transfers, treasury.balances), DatabaseError)
FAULTS = ("answer_lost", "request_lost", "rate_limited", "banned", "error_before", "error_after", "garbage", "pending")
TICKS = ("dispatch_connection", "settle_connection", "tick_expire", "tick_dispatch", "tick_settle", "tick_tell")
# One writes a file, one fills an empty house with practice people, one has nothing to do here: none of them has a way
# to a transfer's state.
COMMANDS = sorted(
    name
    for name, app in get_commands().items()
    if app == "treasury" and name not in ("lifecycle", "practice", "migrate")
)
DICE = some.integers(0, 2**16).map(Random)  # thrown for whatever hangs on what is there by then
ANYBODY = some.sampled_from(NAMES)
AMOUNTS = some.sampled_from(["1", "1", "150", "400", "99999"])


def machine_for(venue: Simulator, hours: Hours, counted: Counter[str]) -> type[RuleBasedStateMachine]:  # noqa: F811
    class House(RuleBasedStateMachine):
        """A house with one login, and whoever is in it."""

        def __init__(self) -> None:
            super().__init__()
            with transaction.atomic():
                crowd.gather()
            set_policy(**POLICIES[1], limits=[])  # the one that asks for most
            name = uuid4().hex
            login = Practice(
                title=name,
                credentials={"api_key": name, "api_secret": "paths-secret-that-opens-nothing"},
                opening={"UNIFIED": {"USDT": "1000000"}, "FUND": {"USDT": "1000000"}},
            )
            venue.practice += (login,)
            self.login = venue.login_of(login.credentials)
            venue.ledger.open_with(self.login, login.opening)
            venue.clear()
            self.connection = connect(
                name=name[:20], venue="bybit", environment="mainnet", credentials=login.credentials, at=hours.now()
            )
            accounts = {one.address: one for one in self.connection.accounts.all()}
            self.unified, self.fund = accounts["UNIFIED"], accounts["FUND"]
            refresh(connection=self.connection, by=SETUP, at=hours.now())
            self.witness = Witness()
            self.witness.look()  # what earlier examples did was looked at then
            self.witness.claims = 0
            self.by_product = True
            self.goes_out("maker", "150", send=True)

        # -- what there is ---------------------------------------------------------------------------------

        def one(self, dice: Random, *states: State) -> Transfer | None:
            found = Transfer.objects.filter(connection=self.connection).order_by("pk")
            kept = list(found.filter(state__in=states) if states else found)
            return dice.choice(kept) if kept else None

        def likely(self, dice: Random, *states: State) -> Transfer | None:
            """Mostly one in these states, else any."""
            return (self.one(dice, *states) if dice.random() < 0.7 else None) or self.one(dice)

        def saw(self, dice: Random, transfer: Transfer) -> dict[str, Any]:
            """What their page showed: mostly what is so, at times something else."""
            true = {"digest": transfer.digest or "", "round": transfer.round}
            false = {"digest": "0" * 64, "round": transfer.round + 1}
            return dice.choice([true, true, true, false])

        # -- the verbs -------------------------------------------------------------------------------------

        @rule(who=ANYBODY, amount=AMOUNTS, submit=some.booleans())
        def somebody_drafts(self, who: str, amount: str, submit: bool) -> None:
            with suppress(*REFUSED):
                words = draft.Words(self.unified, self.fund, "USDT", amount, "because")
                made = draft.draft(words=words, maker=user(who), at=hours.now())
                if submit:
                    submitting.submit(reference=made.reference, maker=user(who), at=hours.now())

        @rule(dice=DICE, who=ANYBODY)
        def somebody_submits(self, dice: Random, who: str) -> None:
            if transfer := self.one(dice, State.DRAFT):
                maker = dice.choice([user(who), transfer.maker])
                with suppress(*REFUSED):
                    submitting.submit(reference=transfer.reference, maker=maker, at=hours.now())

        @rule(dice=DICE, who=some.lists(ANYBODY, min_size=1, max_size=6))
        def some_approve(self, dice: Random, who: list[str]) -> None:
            if transfer := self.likely(dice, State.SUBMITTED):
                for name in who:
                    self.approved_by(transfer, name, **self.saw(dice, transfer))

        def approved_by(self, transfer: Transfer, name: str, digest: str, round: int) -> None:  # noqa: A002
            with suppress(*REFUSED):
                approve.approve(
                    reference=transfer.reference,
                    checker=user(name),
                    digest=digest,
                    round=round,
                    factor="password",
                    at=hours.now(),
                )

        @rule(dice=DICE, who=ANYBODY)
        def somebody_withdraws(self, dice: Random, who: str) -> None:
            """Mostly somebody who has approved it."""
            if transfer := self.likely(dice, State.APPROVED, State.SUBMITTED):
                approved = list(transfer.decisions.values_list("by__username", flat=True))
                with suppress(*REFUSED):
                    withdraw.withdraw(
                        reference=transfer.reference,
                        checker=user(dice.choice([who, *approved])),
                        reason="wait",
                        at=hours.now(),
                    )

        @rule(dice=DICE, who=ANYBODY)
        def somebody_rejects_or_cancels(self, dice: Random, who: str) -> None:
            if transfer := self.one(dice):
                with suppress(*REFUSED):
                    if dice.random() < 0.5:
                        cancel.cancel(reference=transfer.reference, by=user(who), at=hours.now())
                    else:
                        approve.reject(
                            reference=transfer.reference,
                            checker=user(who),
                            **self.saw(dice, transfer),
                            factor="password",
                            reason="no",
                            at=hours.now(),
                        )

        @rule(maker=some.sampled_from(["maker", "maker2", "both"]), amount=AMOUNTS, send=some.booleans())
        def a_good_one_goes_out(self, maker: str, amount: str, send: bool) -> None:
            """Most sequences end in refusals: this one gets somewhere, wherever the policy lets it."""
            self.goes_out(maker, amount, send=send)

        def goes_out(self, maker: str, amount: str, *, send: bool) -> None:
            with suppress(*REFUSED):
                words = draft.Words(self.fund, self.unified, "USDT", amount, "because")
                made = draft.draft(words=words, maker=user(maker), at=hours.now())
                made = submitting.submit(reference=made.reference, maker=user(maker), at=hours.now())
                for name in ("checker", "checker2", "checker3"):
                    self.approved_by(made, name, str(made.digest), made.round)
                if send:
                    dispatch.dispatch(reference=made.reference, now=hours.now)

        @rule(dice=DICE, again=some.booleans(), called=some.booleans())
        def a_worker_claims(self, dice: Random, again: bool, called: bool) -> None:
            if transfer := self.likely(dice, State.DISPATCHING if again else State.APPROVED):
                dispatch.read_source_if_old(reference=transfer.reference, now=hours.now)
                claim: Callable[..., Attempt | None] = settle.claim_resend if again else dispatch.claim
                attempt = claim(reference=transfer.reference, at=hours.now())
                if attempt is not None and called:
                    attempts.conclude(attempt_id=attempt.pk, answer=attempts.call(attempt), now=hours.now)

        @rule(name=some.sampled_from(TICKS))
        def a_task_runs(self, name: str) -> None:
            task = getattr(tasks, name)
            task(self.connection.pk) if name.endswith("connection") else task()

        @rule(dice=DICE, kind=some.sampled_from(FAULTS), seconds=some.sampled_from([1, 5, 40, 400]))
        def something_goes_wrong_or_time_passes(self, dice: Random, kind: str, seconds: int) -> None:
            if dice.random() < 0.5:
                venue.fault(kind, match="send", seconds=seconds)
            else:
                hours.ahead += timedelta(seconds=seconds)

        # -- what governs ----------------------------------------------------------------------------------

        @rule(dice=DICE, first=ANYBODY, second=ANYBODY, index=some.integers(0, len(POLICIES) - 1))
        def two_change_the_policy(self, dice: Random, first: str, second: str, index: int) -> None:
            if dice.random() < 0.5:
                first, second = "policy", "policy2"
            with suppress(*REFUSED):
                words = {**policy.words_of(policy.in_force()), **POLICIES[index]}
                asked = policy.propose(words=words, reason="better", by=user(first), at=hours.now())
                policy.confirm(change_id=asked.pk, by=user(second), digest=asked.digest, at=hours.now())

        @rule(who=ANYBODY, first=ANYBODY, second=ANYBODY, group=some.sampled_from([MAKERS, CHECKERS, LEADS, OPERATORS]))
        def two_change_roles(self, who: str, first: str, second: str, group: str) -> None:
            with suppress(*REFUSED):
                wish = memberships.Wish(who, group, not memberships.is_so(memberships.Wish(who, group, True)))
                asked = memberships.propose_memberships(wishes=[wish], reason="so", by=user(first), at=hours.now())
                memberships.confirm_memberships(
                    change_id=asked.pk, by=user(second), digest=asked.digest, at=hours.now()
                )

        @rule(dice=DICE, who=ANYBODY, group=some.sampled_from([MAKERS, CHECKERS, LEADS, AUDITORS]))
        def people_come_and_go(self, dice: Random, who: str, group: str) -> None:
            """As two administrators agreed: so that it really happens now and then. They themselves stay who they are,
            for nobody else could put the house back."""
            what = dice.choice(["give", "take", "deactivate", "open", "same person", "another"])
            with suppress(*REFUSED):
                if what in ("give", "take"):
                    (give if what == "give" else take)(user(who), group)
                elif what == "deactivate":
                    deactivate(user(who))
                elif what == "open":
                    amend(user(who), active=True)
                elif not who.startswith("useradmin"):
                    whose = dice.choice(NAMES) if what == "same person" else who
                    amend(user(who), person=f"{whose}@treasury.invalid")

        @rule(dice=DICE, who=ANYBODY, reference=some.booleans())
        def somebody_decides_on_a_change(self, dice: Random, who: str, reference: bool) -> None:
            """Or resolves what is in doubt."""
            with suppress(*REFUSED):
                if (transfer := self.one(dice, State.DISPATCHING, State.DISPATCHED)) and reference:
                    self.resolved(transfer, who, dice.choice(NAMES))
                elif waiting := list(changes.waiting()):
                    one = dice.choice(waiting)
                    changes.decline(change_id=one.pk, by=user(who), reason="no", at=hours.now())

        def resolved(self, transfer: Transfer, first: str, second: str) -> None:
            words = {"reference": transfer.reference, "moved": False, "reason": "seen", "typed": transfer.reference}
            asked = resolve.propose(**words, by=user(first), at=hours.now())
            resolve.confirm(
                change_id=asked.pk,
                by=user(second),
                digest=asked.digest,
                typed=transfer.reference,
                at=hours.now(),
            )

        @rule(who=ANYBODY, first=ANYBODY, second=ANYBODY)
        def sending_stops_or_goes_on(self, who: str, first: str, second: str) -> None:
            with suppress(*REFUSED):
                order = stops.standing().filter(connection=self.connection).first()
                if order is None:
                    stops.stop(connection=self.connection, reason="drill", by=user(who), at=hours.now())
                    return
                asked = stops.propose_release(stop_order_id=order.pk, by=user(first), reason="over", at=hours.now())
                stops.confirm_release(change_id=asked.pk, by=user(second), digest=asked.digest, at=hours.now())

        # -- the browser, the admin, the commands, the shell -----------------------------------------------

        @rule(dice=DICE, who=ANYBODY, name=some.sampled_from(["submit", "approve", "reject", "cancel"]))
        def somebody_clicks(self, dice: Random, who: str, name: str) -> None:
            if transfer := self.likely(dice, State.SUBMITTED):
                who = dice.choice([who, "checker", "checker2", "maker"])
                self.browsed(dice, who, (name, {"reference": "Reference"}), transfer)

        @rule(dice=DICE, who=ANYBODY)
        def somebody_posts_to_any_address(self, dice: Random, who: str) -> None:
            address = dice.choice(crowd.addresses())
            self.browsed(dice, who, address, self.one(dice))

        def browsed(
            self, dice: Random, who: str, address: tuple[str, dict[str, str]], transfer: Transfer | None
        ) -> None:
            newest = Change.objects.order_by("-pk").values_list("pk", flat=True).first() or 1
            number = dice.choice([newest, self.connection.pk, self.fund.pk, 1])
            status = crowd.post(
                user(who),
                crowd.address_of(*address, transfer, number),
                self.form(dice, transfer),
                htmx=dice.random() < 0.5,
                get=dice.random() < 0.15,
            )
            counted[f"{status} by a browser"] += 1

        def form(self, dice: Random, transfer: Transfer | None) -> dict[str, Any]:
            """Whatever any form of the product asks for, and what none of them should."""
            change = changes.waiting().order_by("-pk").first()
            reference = transfer.reference if transfer else ""
            seen = self.saw(dice, transfer) if transfer else {}
            if change is not None and dice.random() < 0.5:
                seen = {"digest": change.digest}
            return {
                **seen,
                "instruction": (transfer.instruction or "") if transfer else "",
                "reason": "because",
                "typed": reference,
                "moved": "no",
                "done": "yes",
                "record": "R1",
                "sure": "yes",
                "what": f"connection:{self.connection.pk}",
                "source": self.unified.pk,
                "destination": self.fund.pk,
                "asset": "USDT",
                "amount": "150",
                "references": reference,
                "state": "APPROVED",
                "maker": user("maker").pk,
                "is_superuser": "on",
                "groups": CHECKERS,
                "_save": "Save",
                "post": "yes",
            }

        @rule(name=some.sampled_from(COMMANDS))
        def some_command_is_run(self, name: str) -> None:
            nowhere = io.StringIO()
            with suppress(CommandError, SystemExit, EOFError, *REFUSED), contextlib.redirect_stdout(nowhere):
                call_command(name, stdout=nowhere, stderr=nowhere)
            counted[f"ran {name}"] += 1

        @rule(dice=DICE, who=ANYBODY, trick=some.sampled_from(sorted(SHELL)))
        def somebody_is_at_the_shell(self, dice: Random, who: str, trick: str) -> None:
            if transfer := self.likely(dice, State.SUBMITTED, State.APPROVED):
                self.by_product = False  # what is claimed in this step went past the guards
                refused = (DatabaseError, AssertionError, lifecycle.NotALegalStep, lifecycle.Overtaken)
                with suppress(*refused), transaction.atomic():
                    SHELL[trick](transfer, user(who))

        # -- what must always be so ------------------------------------------------------------------------

        @invariant()
        def whatever_was_claimed_was_approved(self) -> None:
            found = self.witness.look(by_product=self.by_product)
            self.by_product = True
            assert found == []

        @invariant()
        def the_venue_did_only_what_was_claimed(self) -> None:
            keys = {one["key"] for one in venue.effects() if one["login"] == self.login}
            claimed = Attempt.objects.filter(transfer__connection=self.connection)
            assert keys <= {str(key) for key in claimed.values_list("transfer__key", flat=True)}

        def teardown(self) -> None:
            counted["claims"] += self.witness.claims
            held = Transfer.objects.filter(connection=self.connection).values_list("state", flat=True)
            counted.update(held)

    return House


def explore(machine: type[RuleBasedStateMachine], runs: int, **more: Any) -> None:
    run_state_machine_as_test(
        machine,
        settings=trials(
            max_examples=runs,
            stateful_step_count=60,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
            **more,
        ),
    )


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every clock agrees, however far it was put forward."""
    monkeypatch.setattr(tasks, "clock_agrees", lambda: True)


@proves(
    "S1",
    "treasury/transfers/assess.py:begin_round",
    "treasury/transfers/approvals.py:still_missing",
    "treasury/transfers/guards.py:quorum",
    "treasury/transfers/dispatch.py:claim",
    "treasury/migrations/0010_agreed_guards.py:treasury_transfer_quorum",
)
def test_s01_nothing_is_claimed_without_the_approvals_that_its_policy_version_demands(
    db: None,
    venue: Simulator,
    hours: Hours,  # noqa: F811
    quick: None,  # noqa: F811
    set_up: None,
) -> None:
    counted: Counter[str] = Counter()
    runs = int(os.environ.get("PATHS_RUNS", "12"))
    explore(machine_for(venue, hours, counted), runs)
    assert counted["claims"] >= runs // 2, counted  # the search gets where money moves


def one_approval_is_enough(patch: pytest.MonkeyPatch) -> None:
    """For the verb and for the guard; the database's two triggers that count sleep meanwhile."""
    for module in (approvals, approve):  # wherever the verb takes it from
        patch.setattr(module, "still_missing", lambda transfer: {}, raising=False)
    patch.setattr(guards, "GUARDS", tuple(one for one in guards.GUARDS if one is not guards.quorum))


def the_policy_asks_for_less(patch: pytest.MonkeyPatch) -> None:
    """Of whatever group it names, one person: the answer is kept as it was given, so that nothing disagrees with it."""
    evaluate = rules.evaluate

    def less(*asked: Any) -> rules.Answer:
        answer = evaluate(*asked)
        return replace(answer, demands=dict.fromkeys(answer.demands, 1))

    patch.setattr(rules, "evaluate", less)


def an_approval_leaves_no_entry(patch: pytest.MonkeyPatch) -> None:
    """Unless it is the last one, whose step the database wants to see."""
    entry = lifecycle.entry

    def silent(transfer: Transfer, **told: Any) -> Any:
        return None if "missing" in told["facts"] else entry(transfer, **told)

    patch.setattr(lifecycle, "entry", silent)


# The database's own opinion on that, which sleeps meanwhile: the triggers of one approval's count, and of its entry.
LAST_DOORS = {
    "one_approval_is_enough": ("treasury_transfer_guard", "treasury_transfer_quorum"),
    "an_approval_leaves_no_entry": ("treasury_decision_told",),
}


@pytest.mark.parametrize(
    ("opened", "said"),
    [
        (one_approval_is_enough, "are demanded"),
        (the_policy_asks_for_less, "demands something else"),
        (an_approval_leaves_no_entry, "the log does not say so"),
    ],
)
def test_the_search_finds_a_path_that_is_open(
    db: None,
    venue: Simulator,
    hours: Hours,  # noqa: F811
    quick: None,  # noqa: F811
    set_up: None,
    monkeypatch: pytest.MonkeyPatch,
    opened: Callable[[pytest.MonkeyPatch], None],
    said: str,
) -> None:
    opened(monkeypatch)
    with asleep(*LAST_DOORS.get(opened.__name__, ())), pytest.raises(AssertionError, match=said):
        explore(machine_for(venue, hours, Counter()), 5, report_multiple_bugs=False)


@contextlib.contextmanager
def asleep(*triggers: str) -> Iterator[None]:
    """These triggers do nothing for a while."""
    say("DISABLE", triggers)
    try:
        yield
    finally:
        say("ENABLE", triggers)


def say(word: str, triggers: tuple[str, ...]) -> None:
    with database.cursor() as cursor:
        for trigger in triggers:
            table = "_".join(trigger.split("_")[:2])
            cursor.execute(f"ALTER TABLE {table} {word} TRIGGER {trigger}")
