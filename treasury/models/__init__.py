"""Nouns: one file each. Imported here so that Django finds them; import them from here or from their file."""

from treasury.models.account import Account
from treasury.models.attempt import NOTHING_MOVED, TAKEN, Attempt, Kind, LookUp, Outcome
from treasury.models.audit_entry import AuditBatch, AuditEntry, AuditLink
from treasury.models.balance import Balance
from treasury.models.band import Band, Direction, Drift, Unit
from treasury.models.call_window import CallWindow
from treasury.models.change import Attachment, Change, FirstLook, Ruling
from treasury.models.connection import Connection, ConnectionHealth
from treasury.models.decision import Decision, Demand, Verdict, Withdrawal
from treasury.models.heartbeat import Heartbeat, Home
from treasury.models.movement import Basis, Mark, Match, Movement
from treasury.models.notice import Channel, Ending, Notice
from treasury.models.plan import Origin, Plan, PlanGroup, PlanLine, PlanState, Status
from treasury.models.policy import Assessment, HouseSetting, Policy
from treasury.models.price import Price
from treasury.models.resolution import Contradiction, Resolution
from treasury.models.route import Route
from treasury.models.snapshot import Snapshot
from treasury.models.stop_order import Scope, StopOrder
from treasury.models.transfer import ENDED, IN_FLIGHT, NEXT, Predecessor, State, Transfer
from treasury.models.user import Membership, User

__all__ = [
    "ENDED",
    "IN_FLIGHT",
    "NEXT",
    "NOTHING_MOVED",
    "TAKEN",
    "Account",
    "Assessment",
    "Attachment",
    "Attempt",
    "AuditBatch",
    "AuditEntry",
    "AuditLink",
    "Balance",
    "Band",
    "Basis",
    "CallWindow",
    "Change",
    "Channel",
    "Connection",
    "ConnectionHealth",
    "Contradiction",
    "Decision",
    "Demand",
    "Direction",
    "Drift",
    "Ending",
    "FirstLook",
    "Heartbeat",
    "Home",
    "HouseSetting",
    "Kind",
    "LookUp",
    "Mark",
    "Match",
    "Membership",
    "Movement",
    "Notice",
    "Origin",
    "Outcome",
    "Plan",
    "PlanGroup",
    "PlanLine",
    "PlanState",
    "Policy",
    "Predecessor",
    "Price",
    "Resolution",
    "Route",
    "Ruling",
    "Scope",
    "Snapshot",
    "State",
    "Status",
    "StopOrder",
    "Transfer",
    "Unit",
    "User",
    "Verdict",
    "Withdrawal",
]
