"""Nouns: one file each. Imported here so that Django finds them; import them from here or from their file."""

from treasury.models.account import Account
from treasury.models.attempt import NOTHING_MOVED, TAKEN, Attempt, Kind, LookUp, Outcome
from treasury.models.audit_entry import AuditBatch, AuditEntry, AuditLink
from treasury.models.balance import Balance
from treasury.models.call_window import CallWindow
from treasury.models.connection import Connection, ConnectionHealth
from treasury.models.decision import Decision, Demand, Verdict
from treasury.models.stop_order import StopOrder, StopRelease
from treasury.models.transfer import ENDED, IN_FLIGHT, NEXT, State, Transfer
from treasury.models.user import User

__all__ = [
    "ENDED",
    "IN_FLIGHT",
    "NEXT",
    "NOTHING_MOVED",
    "TAKEN",
    "Account",
    "Attempt",
    "AuditBatch",
    "AuditEntry",
    "AuditLink",
    "Balance",
    "CallWindow",
    "Connection",
    "ConnectionHealth",
    "Decision",
    "Demand",
    "Kind",
    "LookUp",
    "Outcome",
    "State",
    "StopOrder",
    "StopRelease",
    "Transfer",
    "User",
    "Verdict",
]
