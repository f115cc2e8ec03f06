"""Settings of the house: two people set them, the newest counts, and the running code uses what counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from tests.house import agree, person
from treasury.balances import snapshots
from treasury.controls import changes, house
from treasury.controls.house import NotSet, OtherValue
from treasury.controls.roles import POLICY_EDITORS
from treasury.models import AuditEntry, Channel, Connection, HouseSetting, Notice, Snapshot, User
from treasury.notices import webhook
from treasury.transfers import dependents

pytestmark = pytest.mark.django_db

SHORT = {"all_days": 1, "quarter_hours_days": 2, "hours_days": 3}


@pytest.fixture
def editor(db: None) -> User:
    return person("policy", POLICY_EDITORS)


def propose(by: User, value: dict[str, Any], name: str = house.RETENTION, reason: str = "As agreed") -> Any:
    return house.propose(name=name, value=value, reason=reason, by=by, at=timezone.now())


def set_to(first: User, second: User, value: dict[str, Any], name: str = house.RETENTION) -> HouseSetting:
    change = propose(first, value, name)
    return house.confirm(change_id=change.pk, by=second, digest=change.digest, at=timezone.now())


def test_until_two_people_have_agreed_the_environment_says_and_then_the_newest(
    editor: User, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SNAPSHOTS_ALL_DAYS", 5)
    assert house.retention().all_days == 5
    set_to(editor, operator, SHORT)
    assert house.retention() == house.Ages(1, 2, 3)
    set_to(operator, editor, SHORT | {"hours_days": 9})
    assert house.retention() == house.Ages(1, 2, 9)
    done = AuditEntry.objects.filter(action="house.set", subject="setting:retention").order_by("pk").last()
    assert done is not None
    assert done.facts["value"] == SHORT | {"hours_days": 9}
    assert done.facts["was"] == SHORT


def test_thinning_goes_by_what_was_agreed_on_and_a_proposal_says_what_it_would_delete(
    editor: User, operator: User, connection: Connection
) -> None:
    at = timezone.now()
    day = snapshots.midnight(at - timedelta(days=3)) + timedelta(hours=1)
    for minutes in (0, 15, 30, 45):  # kept as quarter-hours for 14 days, and as hours by what is proposed
        Snapshot.objects.create(connection=connection, at=day + timedelta(minutes=minutes), holdings={})
    assert snapshots.thinned(at, house.retention()) == 0
    change = propose(editor, SHORT)
    assert dependents.of(change, at) == [
        "3 snapshots of what we held would be removed for good, soon after; nothing brings them back."
    ]
    house.confirm(change_id=change.pk, by=operator, digest=change.digest, at=at)
    change.refresh_from_db()
    assert dependents.of(change, at) == [], "it is decided"
    assert snapshots.thinned(at, house.retention()) == 3
    longer = propose(editor, SHORT | {"hours_days": 400})
    assert dependents.of(longer, at) == ["No snapshot is removed by it that would not be removed as it is."]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"all_days": 0, "quarter_hours_days": 2, "hours_days": 3}, "all_days"),
        ({"all_days": True, "quarter_hours_days": 2, "hours_days": 3}, "all_days"),
        ({"all_days": "soon", "quarter_hours_days": 2, "hours_days": 3}, "all_days"),
        ({"all_days": 3, "quarter_hours_days": 2, "hours_days": 3}, "quarter_hours_days"),
        ({"all_days": 1, "quarter_hours_days": 5, "hours_days": 3}, "hours_days"),
        ({"all_days": 1, "quarter_hours_days": 5}, "hours_days"),
    ],
)
def test_days_that_make_no_sense_are_refused(editor: User, value: dict[str, Any], field: str) -> None:
    with pytest.raises(NotSet) as wrong:
        propose(editor, value)
    assert list(wrong.value.problems) == [field]


@pytest.mark.parametrize(
    "address",
    ["https://hooks.example/told", "http://user:pass@127.0.0.1/", "http://127.0.0.1/told?token=secret", "nowhere", 7],
)
def test_an_address_that_may_not_be_called_or_holds_a_secret_is_refused(editor: User, address: Any) -> None:
    """In practice only this computer."""
    with pytest.raises(NotSet):
        propose(editor, {"address": address}, house.WEBHOOK)


def test_the_webhook_is_where_two_people_say(editor: User, operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "WEBHOOK_URL", "http://127.0.0.1:1/secret-path")
    assert webhook.address() == "http://127.0.0.1:1/secret-path"
    change = propose(editor, {"address": "http://127.0.0.1:9/told"}, house.WEBHOOK)
    assert change.words["was"] == {"address": "http://127.0.0.1:1/…"}, "what the environment says may be a secret"
    house.confirm(change_id=change.pk, by=operator, digest=change.digest, at=timezone.now())
    assert webhook.address() == "http://127.0.0.1:9/told"
    propose(editor, SHORT)  # tells whoever may decide
    told = Notice.objects.filter(channel=Channel.WEBHOOK).order_by("pk").last()
    assert told is not None
    assert told.to == "http://127.0.0.1:9"
    set_to(editor, operator, {"address": ""}, house.WEBHOOK)
    assert webhook.address() == ""


def test_one_person_is_not_enough_and_others_may_not_at_all(editor: User, maker: User) -> None:
    change = propose(editor, SHORT)
    with pytest.raises(changes.MayNotChange):
        house.confirm(change_id=change.pk, by=editor, digest=change.digest, at=timezone.now())
    with pytest.raises(changes.MayNotChange):
        propose(maker, SHORT)
    changes.withdraw(change_id=change.pk, by=editor, at=timezone.now())
    with pytest.raises(changes.NotSaid):
        propose(editor, SHORT, reason=" ")
    assert not HouseSetting.objects.exists()


def test_what_was_set_otherwise_meanwhile_is_not_confirmed(editor: User, operator: User) -> None:
    change = propose(editor, SHORT)
    other = {"name": house.RETENTION, "value": SHORT | {"hours_days": 30}}
    with transaction.atomic():
        agreed = agree(house.SET, "setting:retention", other)
        HouseSetting.objects.create(name=house.RETENTION, value=other["value"], change=agreed, at=timezone.now())
    with pytest.raises(OtherValue):
        house.confirm(change_id=change.pk, by=operator, digest=change.digest, at=timezone.now())


def test_the_database_takes_no_value_that_nobody_agreed_on(editor: User) -> None:
    change = propose(editor, SHORT)
    with pytest.raises(DatabaseError), transaction.atomic():
        HouseSetting.objects.create(name=house.RETENTION, value=SHORT, change=change, at=timezone.now())
    with pytest.raises(DatabaseError):
        unlike()


@transaction.atomic
def unlike() -> None:
    """Another value than the agreed change says."""
    said = agree(house.SET, "setting:retention", {"name": house.RETENTION, "value": SHORT})
    value = SHORT | {"all_days": 9}
    HouseSetting.objects.create(name=house.RETENTION, value=value, change=said, at=timezone.now())


def test_the_same_value_and_a_second_proposal_are_refused(editor: User, operator: User) -> None:
    with pytest.raises(NotSet):
        propose(editor, house.value_of(house.RETENTION))
    change = propose(editor, SHORT)
    assert propose(editor, SHORT) == change, "a double click"
    with pytest.raises(OtherValue):
        propose(operator, SHORT | {"hours_days": 8})
