"""The first set-up happens once, by a command that prints two links; an upgraded house may still have it before it."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from tests.house import administrators, person
from treasury.controls import first_two, policy
from treasury.controls.people import Who
from treasury.controls.roles import MAKERS, USER_ADMINISTRATORS, groups_of
from treasury.models import AuditEntry, Change, Notice, Policy, User
from treasury.notices import links

pytestmark = pytest.mark.django_db

PAIR = ("--first", "ada", "Ada van Adams", "ada@example.org", "--second", "bob", "Bob Brown", "bob@example.org")


def bootstrap(*words: str) -> str:
    said = io.StringIO()
    call_command("bootstrap", *words, stdout=said)
    return said.getvalue()


def tokens(said: str) -> list[str]:
    return re.findall(r"/account/password/reset/key/[0-9a-z]+-(\S+)/", said)


def test_it_makes_two_administrators_and_a_policy_and_prints_a_link_for_each() -> None:
    said = bootstrap(*PAIR)
    ada, bob = User.objects.order_by("username")
    assert (ada.first_name, ada.last_name) == ("Ada van", "Adams")
    assert [groups_of(one) for one in (ada, bob)] == [{USER_ADMINISTRATORS}] * 2
    assert [links.TOKENS.check_token(one, key) for one, key in zip((ada, bob), tokens(said), strict=True)] == [True] * 2
    assert policy.in_force().text == policy.first()
    entry = AuditEntry.objects.get(action="house.bootstrap")
    assert entry.who == "machine:set-up"
    written = [entry.canonical, str(list(Notice.objects.values())), json.dumps(list(Change.objects.values("words")))]
    assert not any(key in text for key in tokens(said) for text in written)
    assert Notice.objects.filter(kind=links.KIND).count() == 2, "they get it by mail as well"


def test_a_second_time_is_refused_with_a_sentence() -> None:
    bootstrap(*PAIR)
    with pytest.raises(CommandError, match=r"Nothing was changed\. This house has user administrators already"):
        bootstrap("--first", "eve", "Eve E", "eve@example.org", "--second", "mal", "Mal M", "mal@example.org")
    assert User.objects.count() == 2


def test_whoever_had_administrators_once_does_not_set_up_again() -> None:
    one, _ = administrators()
    pair = [Who(name, "Eve", "Evil", f"{name}@example.org") for name in ("eve", "mal")]
    with pytest.raises(first_two.SetUpAlready):
        first_two.bootstrap(first=pair[0], second=pair[1], policy=policy.first(), at=datetime.now(UTC))
    assert groups_of(one) == {USER_ADMINISTRATORS}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Name both people"),
        (PAIR[:4], "Name both people"),
        ((*PAIR[:4], "--second", "bob", "Bob Brown", "ADA+2@example.org"), "two people, with two addresses"),
        ((*PAIR[:4], "--second", "bob", "Bob", "bob@example.org"), "the name that the person is known by"),
        (("--links",), "Nothing was done"),
    ],
)
def test_what_makes_no_pair_is_refused_and_nothing_is_made(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        bootstrap(*words)
    assert not User.objects.exists()
    assert not Policy.objects.exists()


def test_links_that_lapsed_are_printed_anew_until_somebody_has_chosen_a_password() -> None:
    bootstrap(*PAIR)
    assert len(tokens(bootstrap("--links"))) == 2
    assert AuditEntry.objects.filter(action="user.link", who="machine:set-up").count() == 2
    ada = User.objects.get(username="ada")
    ada.set_password("a password that she chose")
    ada.save(update_fields=["password"])
    with pytest.raises(CommandError, match="has chosen a password"):
        bootstrap("--links")


def test_an_upgraded_house_has_people_and_a_policy_and_no_administrator(at: datetime) -> None:
    """As 0010 leaves it: adopted under a change of its own. What it has stays."""
    with transaction.atomic(), connection.cursor() as cursor:
        person("maker", MAKERS)
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM treasury_membership WHERE \"group\" = 'user administrators'")
        cursor.execute("UPDATE treasury_change SET kind = 'house.adopt' WHERE kind = 'house.bootstrap'")
        cursor.execute("SET LOCAL session_replication_role = origin")
    before = policy.in_force()
    bootstrap(*PAIR)
    assert policy.in_force() == before
    assert "policy" not in Change.objects.get(kind="house.bootstrap").words
    assert groups_of(User.objects.get(username="maker")) == {MAKERS}
    assert groups_of(User.objects.get(username="ada")) == {USER_ADMINISTRATORS}
