"""What the database's rows alone say of whatever was claimed: read with SQL, and reckoned here, without the product.

A policy is read anew by a handful of lines that know the few kinds of rules that the test sets; see ``decided``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

NEVER_LEFT = ("DRAFT", "REJECTED", "CANCELLED", "EXPIRED", "FAILED")
GONE = ("DISPATCHING", "CONFIRMING", "DISPATCHED", "SETTLED")

Row = dict[str, Any]


def rows(sql: str, *values: Any) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def one(sql: str, *values: Any) -> Row:
    (found,) = rows(sql, *values)
    return found


TRANSFER = """
SELECT t.*, m.username AS maker, m.person AS maker_person, c.name AS connection, c.venue
FROM treasury_transfer t JOIN treasury_user m ON m.id = t.maker_id JOIN treasury_connection c ON c.id = t.connection_id
"""
APPROVALS = """
SELECT d.*, u.person, u.username, u.is_active FROM treasury_decision d JOIN treasury_user u ON u.id = d.by_id
WHERE d.transfer_id = %s AND d.round = %s AND d.verdict = 'approve' AND d.at <= %s AND NOT EXISTS (
    SELECT FROM treasury_withdrawal w WHERE w.decision_id = d.id AND w.at <= %s)
"""
MEMBER = """
SELECT 1 FROM treasury_membership
WHERE user_id = %s AND "group" = %s AND at <= %s AND (ended_at IS NULL OR ended_at > %s)
"""


@dataclass
class Witness:
    """Looks at everything that is new since it last looked: at once, while the rows still are as they were then."""

    seen: int = 0
    asked: int = 0
    claims: int = 0
    problems: list[str] = field(default_factory=list)

    def look(self, *, by_product: bool = True) -> list[str]:
        """What is wrong. ``by_product``: whatever was claimed went through the guards, which ask once more whether
        those who approved still may; the database asks only how many people they are."""
        found = [f"{said}" for row in self.new_assessments() for said in self.wrong_answer(row)]
        for attempt in self.new_attempts():
            self.claims += 1
            transfer = one(f"{TRANSFER} WHERE t.id = %s", attempt["transfer_id"])
            found += [f"{transfer['reference']}: {said}" for said in self.wrong_claim(transfer, attempt, by_product)]
        return [*found, *self.unexplained()]

    def new_assessments(self) -> list[Row]:
        found = rows("SELECT * FROM treasury_assessment WHERE id > %s ORDER BY id", self.asked)
        self.asked = found[-1]["id"] if found else self.asked
        return found

    def new_attempts(self) -> list[Row]:
        found = rows("SELECT * FROM treasury_attempt WHERE id > %s ORDER BY id", self.seen)
        self.seen = found[-1]["id"] if found else self.seen
        return found

    # -- what the policy answered ------------------------------------------------------------------------------

    def wrong_answer(self, asked: Row) -> Iterator[str]:
        """Of one assessment: the version, what it was asked, and what it answered."""
        transfer = one(f"{TRANSFER} WHERE t.id = %s", asked["transfer_id"])
        name = transfer["reference"]
        policy = one("SELECT * FROM treasury_policy WHERE id = %s", asked["policy_id"])
        first = one(
            "SELECT at, policy_id FROM treasury_assessment WHERE transfer_id = %s ORDER BY id LIMIT 1", transfer["id"]
        )
        newest = one("SELECT id FROM treasury_policy WHERE at <= %s ORDER BY number DESC LIMIT 1", first["at"])
        if not policy["id"] == first["policy_id"] == newest["id"]:
            yield f"{name}: asked of version {policy['number']}, which was not in force when it was submitted"
        if hashlib.sha256(policy["text"].encode()).hexdigest() != policy["digest"]:
            yield f"{name}: the text of version {policy['number']} is not the one of its digest"
        said = json.loads(asked["circumstances"])
        true = {"amount": Decimal(said["amount"]), **{word: said[word] for word in ("asset", "maker", "connection")}}
        if true != {word: transfer[word] for word in true} or said["venue"] != transfer["venue"]:
            yield f"{name}: the policy was asked about something else: {said}"
        if json.loads(asked["answer"])["demands"] != decided(json.loads(policy["text"]), transfer, asked["at"]):
            yield f"{name}: version {policy['number']} demands something else than {asked['answer']}"

    # -- what was claimed --------------------------------------------------------------------------------------

    def wrong_claim(self, transfer: Row, attempt: Row, by_product: bool) -> Iterator[str]:
        at, log = attempt["claimed_at"], log_of(transfer["reference"])
        claims = [place for place, entry in enumerate(log) if entry["facts"].get("attempt") == attempt["number"]]
        if not claims:
            yield f"attempt {attempt['number']} is not in the log"
            return
        before = log[: claims[0]]
        rounds = [entry["facts"]["round"] for entry in before if entry["facts"].get("to") == "SUBMITTED"]
        number = rounds[-1] if rounds else 0
        asked = rows(
            "SELECT answer FROM treasury_assessment WHERE transfer_id = %s AND round = %s", transfer["id"], number
        )
        demands = {
            row["group"]: row["count"]
            for row in rows(
                'SELECT "group", count FROM treasury_demand WHERE transfer_id = %s AND round = %s',
                transfer["id"],
                number,
            )
        }
        if len(asked) != 1 or not demands or json.loads(asked[0]["answer"])["demands"] != demands:
            yield f"round {number} demands {demands}, and its assessments say {asked}"
        yield from wrong_approvals(transfer, number, demands, at, before, still=by_product and is_a_claim(attempt))

    # -- what stands -------------------------------------------------------------------------------------------

    def unexplained(self) -> Iterator[str]:
        """Transfers that are, or were, beyond approval without an attempt, or whose steps the log does not hold."""
        gone = rows(
            "SELECT t.reference FROM treasury_transfer t WHERE t.state = ANY (%s) AND NOT EXISTS ("
            "SELECT FROM treasury_attempt a WHERE a.transfer_id = t.id)",
            list(GONE),
        )
        yield from (f"{row['reference']} is beyond approval and nobody claimed it" for row in gone)
        for row in rows("SELECT reference, state FROM treasury_transfer ORDER BY id DESC LIMIT 30"):
            steps = [entry["facts"] for entry in log_of(row["reference"]) if "to" in entry["facts"]]
            chain = [None, *(step["to"] for step in steps)]
            if [step["from"] for step in steps] != chain[:-1] or chain[-1] != row["state"]:
                yield f"{row['reference']} is {row['state']} and the log says {chain}"


def wrong_approvals(
    transfer: Row, number: int, demands: dict[str, int], at: Any, before: list[Row], *, still: bool
) -> Iterator[str]:
    """Of the approvals of a round as they were at a moment: of enough people, in their groups, in the log."""
    people: dict[str, set[str]] = {group: set() for group in demands}
    digest = hashlib.sha256(transfer["instruction"].encode()).hexdigest()
    for approval in rows(APPROVALS, transfer["id"], number, at, at):
        who = approval["username"]
        if approval["person"] == transfer["maker_person"]:
            yield f"{who} approved it and is its maker"
        if not approval["digest"] == digest == transfer["digest"] or approval["instruction"] != transfer["instruction"]:
            yield f"{who} approved other words"
        said = [one for one in before if one["action"] == "transfer.approve" and one["facts"].get("round") == number]
        if f"user:{approval['by_id']}" not in [entry["who"]["id"] for entry in said]:
            yield f"{who} approved it and the log does not say so"
        moments = [approval["at"], at] if still else [approval["at"]]
        held = [all(member(approval["by_id"], group, moment) for moment in moments) for group in ("checkers", *demands)]
        if not held[0] or (still and not approval["is_active"]):
            continue
        for group, is_in in zip(demands, held[1:], strict=True):
            if is_in:
                people[group].add(approval["person"])
    lacking = {group: count for group, count in demands.items() if len(people[group]) < count}
    if lacking:
        yield f"claimed in round {number} with {people}, and {demands} are demanded"


def is_a_claim(attempt: Row) -> bool:
    """A repeat writes down what people did already: who approved it may have left meanwhile."""
    return attempt["kind"] != "repeat"


def member(user: int, group: str, at: Any) -> bool:
    return bool(rows(MEMBER, user, group, at, at))


def log_of(reference: str) -> list[Row]:
    """The entries of what was done about a transfer, as they were written."""
    found = rows(
        "SELECT canonical FROM treasury_auditentry WHERE subject = %s AND result = 'done' ORDER BY id",
        f"transfer:{reference}",
    )
    return [json.loads(row["canonical"]) for row in found]


# -- a policy, read anew ------------------------------------------------------------------------------------------


def decided(policy: Row, transfer: Row, at: Any) -> dict[str, int] | None:
    """What the first rule that matches demands; None where it forbids, or where none matches."""
    for rule in policy["rules"]:
        if matches(rule.get("when", {}), transfer, at):
            return None if rule.get("forbids") else dict(rule["demands"])
    return None


def matches(when: Row, transfer: Row, at: Any) -> bool:
    known = {"assets", "makers", "over", "up_to", "in", "volume"}
    assert set(when) <= known, f"this reader knows no {set(when) - known}"
    if "assets" in when and transfer["asset"].upper() not in [asset.upper() for asset in when["assets"]]:
        return False
    if "makers" in when and transfer["maker"] not in when["makers"]:
        return False
    if "over" in when and transfer["amount"] <= Decimal(when["over"]):
        return False
    if "up_to" in when and transfer["amount"] > Decimal(when["up_to"]):
        return False
    volume = when.get("volume")
    return volume is None or summed(volume, transfer, at) > Decimal(volume["over"])


def summed(volume: Row, transfer: Row, at: Any) -> Decimal:
    """Of the same maker, as a person, or of the same connection: this one, and the others that left or may."""
    column = {"maker": "maker_person", "connection": "connection_id"}[volume["of"]]
    others = rows(
        f"{TRANSFER} WHERE t.id <> %s AND t.asset = %s AND t.submitted_at > %s AND NOT t.state = ANY (%s)",
        transfer["id"],
        transfer["asset"],
        at - timedelta(hours=volume["hours"]),
        list(NEVER_LEFT),
    )
    return sum((row["amount"] for row in others if row[column] == transfer[column]), transfer["amount"])
