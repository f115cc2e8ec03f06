"""Who may sign in, as which natural person, with which roles: agreed on by two administrators, ended by one."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import IntegrityError, transaction
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.house import administrators, amend, deactivate, give, person, take
from treasury.controls import changes, details, memberships, people, resets, sessions
from treasury.controls.details import Details
from treasury.controls.memberships import Wish
from treasury.controls.people import NoLongerSo, NotEnrolled, Who
from treasury.controls.roles import AUDITORS, CHECKERS, MAKERS, USER_ADMINISTRATORS, groups_of
from treasury.models import AuditEntry, Change, Membership, Notice, User
from treasury.notices import links

pytestmark = pytest.mark.django_db

VERA = Who("vera", "Vera", "Viewer", "vera@example.org")
Two = tuple[User, User]


@pytest.fixture
def two(db: None) -> Two:
    return administrators()


def proposed(two: Two, at: datetime, who: Who = VERA, *groups: str) -> Change:
    return people.propose_enrol(who=who, groups=groups or (AUDITORS,), reason="Joined", by=two[0], at=at)


def enrolled(two: Two, at: datetime, who: Who = VERA, *groups: str) -> User:
    change = proposed(two, at, who, *groups)
    return people.confirm_enrol(change_id=change.pk, by=two[1], digest=change.digest, at=at)


def known(user: User, two: Two, at: datetime, **becomes: object) -> Change:
    begun = {name: getattr(user, name) for name in details.COLUMNS}
    wanted = Details(**{**begun, **becomes})  # type: ignore[arg-type]
    return details.propose_change(user=user, details=wanted, reason="Moved", by=two[0], at=at)


def agreed_details(user: User, two: Two, at: datetime, **becomes: object) -> User:
    change = known(user, two, at, **becomes)
    return details.confirm_change(change_id=change.pk, by=two[1], digest=change.digest, at=at)


def entries(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action, result="done").order_by("id"))


# -- enrolling --------------------------------------------------------------------------------------------------


def test_a_sign_in_is_made_by_two_with_its_roles_and_without_a_password(two: Two, at: datetime) -> None:
    vera = enrolled(two, at, VERA, AUDITORS, "finance-leads")
    assert groups_of(vera) == {AUDITORS, "finance-leads"}
    assert not vera.has_usable_password()
    assert (vera.change.proposed_by, vera.change.decided_by) == two
    assert entries("user.enrol")[-1].facts["proposed_by"] == "useradmin"


def test_one_administrator_is_not_enough_and_others_may_not_at_all(two: Two, checker: User, at: datetime) -> None:
    change = proposed(two, at)
    for who in (two[0], checker):
        with pytest.raises(changes.MayNotChange):
            people.confirm_enrol(change_id=change.pk, by=who, digest=change.digest, at=at)
    with pytest.raises(changes.MayNotChange):
        people.propose_enrol(who=VERA, groups=[], reason="Joined", by=checker, at=at)
    assert not User.objects.filter(username="vera").exists()


@pytest.mark.parametrize(
    ("field", "who"),
    [
        ("username", Who("Vera!", "Vera", "Viewer", "vera@example.org")),
        ("username", Who("useradmin", "Vera", "Viewer", "vera@example.org")),
        ("first_name", Who("vera", " ", "Viewer", "vera@example.org")),
        ("last_name", Who("vera", "Vera", "", "vera@example.org")),
        ("email", Who("vera", "Vera", "Viewer", "no address")),
        ("email", Who("vera", "Vera", "Viewer", f"{'v' * 60}@{'e' * 63}.{'e' * 63}.{'e' * 63}.{'e' * 20}.org")),
        ("same_as", Who("vera", "Vera", "Viewer", "vera@example.org", "", "nobody")),
        ("provider_subject", Who("vera", "Vera", "Viewer", "vera@example.org", "a\nb")),
    ],
)
def test_words_that_make_no_sign_in_are_refused(two: Two, at: datetime, field: str, who: Who) -> None:
    with pytest.raises(NotEnrolled) as refusal:
        proposed(two, at, who)
    assert list(refusal.value.problems) == [field]
    assert not Change.objects.filter(kind=people.ENROL, ruling=None).exists()


def test_a_name_that_was_taken_since_is_refused_and_the_proposal_waits_on(two: Two, at: datetime) -> None:
    change = proposed(two, at)
    person("vera")
    with pytest.raises(NoLongerSo, match="There is a vera already"):
        people.confirm_enrol(change_id=change.pk, by=two[1], digest=change.digest, at=at)
    change.refresh_from_db()
    assert change.is_open


# -- the same natural person ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "email", ["CHECKER@treasury.invalid", "checker+two@treasury.invalid", "Checker+x@Treasury.Invalid"]
)
def test_an_address_in_another_spelling_is_the_same_person(two: Two, checker: User, at: datetime, email: str) -> None:
    assert enrolled(two, at, Who("second", "Cem", "Other", email)).person == checker.person


def test_whoever_is_said_to_be_the_same_is(two: Two, checker: User, at: datetime) -> None:
    made = enrolled(two, at, Who("second", "Cem", "Other", "elsewhere@example.org", same_as="checker"))
    assert made.person == checker.person


def test_a_providers_id_is_of_one_sign_in_in_any_spelling(two: Two, at: datetime) -> None:
    person("first", provider_subject="sub-1")
    with pytest.raises(NotEnrolled, match="first has this provider's id"):
        proposed(two, at, Who("second", "Other", "Name", "other@example.org", "SUB-1"))


def test_an_address_that_somebody_took_since_is_refused(two: Two, checker: User, at: datetime) -> None:
    """Confirmed as it stands, one natural person would count twice."""
    change = proposed(two, at)
    amend(checker, email="vera+work@example.org")
    with pytest.raises(NoLongerSo, match="checker has this e-mail address"):
        people.confirm_enrol(change_id=change.pk, by=two[1], digest=change.digest, at=at)


def test_taking_anothers_address_makes_them_one_person(two: Two, maker: User, checker: User, at: datetime) -> None:
    moved = agreed_details(maker, two, at, email="CHECKER+1@treasury.invalid")
    assert moved.person == checker.person


def test_another_address_of_ones_own_keeps_the_person(two: Two, maker: User, at: datetime) -> None:
    before = maker.person
    assert agreed_details(maker, two, at, email="new@example.org").person == before


def test_a_sign_in_that_has_a_twin_does_not_leave_it(two: Two, maker: User, checker: User, at: datetime) -> None:
    person("maker9", email=maker.email)
    with pytest.raises(NotEnrolled, match="maker and maker9 are one person already"):
        known(maker, two, at, same_as="checker")


def confirmed_change(change: Change, two: Two, at: datetime) -> User:
    return details.confirm_change(change_id=change.pk, by=two[1], digest=change.digest, at=at)


def people_counted(*usernames: str) -> int:
    return User.objects.filter(username__in=usernames).order_by().values("person").distinct().count()


def test_two_that_are_each_said_to_be_the_other_do_not_swap(two: Two, maker: User, checker: User, at: datetime) -> None:
    one, other = known(maker, two, at, same_as="checker"), known(checker, two, at, same_as="maker")
    confirmed_change(one, two, at)
    with pytest.raises(NoLongerSo, match="Nothing was changed"):
        confirmed_change(other, two, at)
    assert people_counted("maker", "checker") == 1


def test_whoever_got_a_second_sign_in_meanwhile_does_not_leave_it(
    two: Two, maker: User, checker: User, at: datetime
) -> None:
    waits = known(maker, two, at, same_as="checker")
    enrolled(two, at, Who("maker9", "Mira", "Person", "elsewhere@example.org", same_as="maker"))
    with pytest.raises(NoLongerSo, match="maker9 and maker are one person"):
        confirmed_change(waits, two, at)
    assert people_counted("maker", "maker9") == 1


def test_a_second_sign_in_of_somebody_who_became_another_is_proposed_anew(
    two: Two, maker: User, checker: User, at: datetime
) -> None:
    waits = proposed(two, at, Who("maker9", "Mira", "Person", "elsewhere@example.org", same_as="maker"), CHECKERS)
    assert waits.words["same_as"] == "maker"
    confirmed_change(known(maker, two, at, same_as="checker"), two, at)
    with pytest.raises(NoLongerSo, match="maker counts as another natural person"):
        people.confirm_enrol(change_id=waits.pk, by=two[1], digest=waits.digest, at=at)
    assert not User.objects.filter(username="maker9").exists()


def test_an_address_that_nobody_has_any_more_makes_nobody_the_same(
    two: Two, maker: User, checker: User, at: datetime
) -> None:
    confirmed_change(known(checker, two, at, email="new@example.org"), two, at)
    waits = known(maker, two, at, email="New+2@example.org")
    checker.refresh_from_db()
    confirmed_change(known(checker, two, at, email="newer@example.org"), two, at)
    with pytest.raises(NoLongerSo, match="nobody has this e-mail address any more"):
        confirmed_change(waits, two, at)


# -- what is known ----------------------------------------------------------------------------------------------


def test_a_change_says_what_was_and_what_becomes(two: Two, maker: User, at: datetime) -> None:
    change = known(maker, two, at, last_name="Married")
    assert change.words["was"]["last_name"] == "Person"
    assert change.words["becomes"]["last_name"] == "Married"
    details.confirm_change(change_id=change.pk, by=two[1], digest=change.digest, at=at)
    maker.refresh_from_db()
    assert (maker.last_name, maker.change) == ("Married", change)


def test_what_changed_since_it_was_proposed_is_not_overwritten(two: Two, maker: User, at: datetime) -> None:
    change = known(maker, two, at, last_name="Married")
    amend(maker, email="else@example.org")
    with pytest.raises(NoLongerSo, match="has changed since"):
        details.confirm_change(change_id=change.pk, by=two[1], digest=change.digest, at=at)


def test_nothing_to_change_is_no_proposal(two: Two, maker: User, at: datetime) -> None:
    with pytest.raises(NotEnrolled, match="all of it is so already"):
        known(maker, two, at)


def test_a_second_change_of_the_same_person_waits_for_the_first(two: Two, maker: User, at: datetime) -> None:
    first = known(maker, two, at, last_name="Married")
    assert known(maker, two, at, last_name="Married") == first, "a double click"
    with pytest.raises(NotEnrolled, match="Another change of maker waits"):
        known(maker, two, at, last_name="Other")


def test_both_addresses_are_told_of_a_new_one(two: Two, maker: User, at: datetime) -> None:
    before = maker.email
    agreed_details(maker, two, at, email="new@example.org")
    told = dict(Notice.objects.filter(subject=maker.subject).values_list("to", "kind"))
    assert told == {"new@example.org": "user.change", before: "user.moved"}


def test_the_database_takes_no_name_that_nobody_agreed_on(maker: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=maker.pk).update(email="attacker@example.org")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=maker.pk).update(person="somebody else")


# -- roles and groups -------------------------------------------------------------------------------------------


def wished(two: Two, at: datetime, *wishes: Wish) -> Change:
    return memberships.propose_memberships(wishes=wishes, reason="Turns", by=two[0], at=at)


def regroup(two: Two, at: datetime, *wishes: Wish) -> list[User]:
    change = wished(two, at, *wishes)
    return memberships.confirm_memberships(change_id=change.pk, by=two[1], digest=change.digest, at=at)


def test_roles_are_given_and_ended_together_and_stay_on_record(two: Two, maker: User, at: datetime) -> None:
    regroup(two, at, Wish("maker", MAKERS, False), Wish("maker", CHECKERS, True))
    assert groups_of(maker) == {CHECKERS}
    ended = Membership.objects.get(user=maker, group=MAKERS)
    assert ended.ended_by == Membership.objects.get(user=maker, group=CHECKERS).change
    facts = entries("user.regroup")[-1].facts
    assert (facts["given"], facts["ended"]) == ([CHECKERS], [MAKERS])


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (Wish("maker", MAKERS, True), "as you want it already"),
        (Wish("nobody", MAKERS, True), "There is no nobody"),
        (Wish("maker", "Makers", True), "small letters"),
    ],
)
def test_wishes_that_make_no_proposal_are_refused(
    two: Two, maker: User, at: datetime, wish: Wish, sentence: str
) -> None:
    with pytest.raises(NotEnrolled, match=sentence):
        wished(two, at, wish)


def test_two_administrators_stay_whatever_is_agreed_on(two: Two, at: datetime) -> None:
    change = wished(two, at, Wish("useradmin2", USER_ADMINISTRATORS, False))
    with pytest.raises(NoLongerSo, match="Fewer than two people"):
        memberships.confirm_memberships(change_id=change.pk, by=two[1], digest=change.digest, at=at)
    with pytest.raises(NoLongerSo, match="Fewer than two people"):
        people.deactivate(user=two[1], reason="left", by=two[0], at=at)
    assert groups_of(two[1]) == {USER_ADMINISTRATORS}
    person("third", USER_ADMINISTRATORS)
    people.deactivate(user=two[1], reason="left", by=two[0], at=at)
    assert groups_of(two[1]) == frozenset()


def test_a_second_sign_in_is_no_second_administrator(two: Two, at: datetime) -> None:
    person("third", USER_ADMINISTRATORS, email=two[0].email)
    with pytest.raises(NoLongerSo):
        people.deactivate(user=two[1], reason="left", by=two[0], at=at)


def test_whoever_has_chosen_no_password_is_no_second_administrator(two: Two, at: datetime) -> None:
    """They may never choose one, and then nobody could agree with the one who is left."""
    third = enrolled(two, at, VERA, USER_ADMINISTRATORS)
    with pytest.raises(NoLongerSo, match="chooses a password"):
        people.deactivate(user=two[1], reason="left", by=two[0], at=at)
    change = wished(two, at, Wish("useradmin", USER_ADMINISTRATORS, False))
    with pytest.raises(NoLongerSo, match="Fewer than two people"):
        memberships.confirm_memberships(change_id=change.pk, by=two[1], digest=change.digest, at=at)
    third.set_password("something long that nobody knows")
    third.save(update_fields=["password"])
    people.deactivate(user=two[1], reason="left", by=two[0], at=at)
    assert groups_of(two[1]) == frozenset()


def test_whom_the_identity_provider_knows_needs_no_password(
    two: Two, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(two, at, replace(VERA, provider_subject="sub-1"), USER_ADMINISTRATORS)
    with pytest.raises(NoLongerSo):
        people.deactivate(user=two[1], reason="left", by=two[0], at=at)
    monkeypatch.setattr(settings, "OIDC_ISSUER", "https://id.example.org")
    people.deactivate(user=two[1], reason="left", by=two[0], at=at)
    assert groups_of(two[1]) == frozenset()


def test_of_two_who_have_no_password_yet_neither_is_ended(two: Two, at: datetime) -> None:
    two[1].set_unusable_password()
    two[1].save(update_fields=["password"])
    with pytest.raises(NoLongerSo):
        people.deactivate(user=two[1], reason="left", by=two[0], at=at)


# -- sessions ---------------------------------------------------------------------------------------------------


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_losing_a_group_ends_ones_sessions_and_nobody_elses(two: Two, maker: User, checker: User, at: datetime) -> None:
    for user in (maker, maker, checker):
        signed_in(user)
    give(maker, CHECKERS)
    assert len(sessions.sessions_of(maker)) == 2, "getting one ends nothing"
    take(maker, CHECKERS)
    assert sessions.sessions_of(maker) == []
    assert len(sessions.sessions_of(checker)) == 1


def test_sessions_end_with_the_change_or_not_at_all(two: Two, maker: User, at: datetime) -> None:
    signed_in(maker)
    with transaction.atomic():
        people.deactivate(user=maker, reason="left", by=two[0], at=at)
        assert not Session.objects.exists()
        transaction.set_rollback(True)
    assert len(sessions.sessions_of(maker)) == 1


def test_an_administrator_ends_somebodys_sessions_alone(two: Two, maker: User, checker: User, at: datetime) -> None:
    signed_in(maker)
    with pytest.raises(changes.MayNotChange):
        sessions.sign_out(user=maker, by=checker, at=at)
    assert sessions.sign_out(user=maker, by=two[0], at=at) == 1
    assert entries("user.sign_out")[-1].facts == {"sessions": 1}


# -- ending and opening -----------------------------------------------------------------------------------------


def test_one_administrator_ends_a_sign_in_and_two_open_it_again(two: Two, maker: User, at: datetime) -> None:
    people.deactivate(user=maker, reason="left", by=two[0], at=at)
    maker.refresh_from_db()
    assert not maker.is_active
    change = known(maker, two, at, reopen=True)
    with pytest.raises(changes.MayNotChange):
        details.confirm_change(change_id=change.pk, by=two[0], digest=change.digest, at=at)
    assert details.confirm_change(change_id=change.pk, by=two[1], digest=change.digest, at=at).is_active
    assert groups_of(maker) == {MAKERS}


def test_nobody_else_ends_a_sign_in_and_never_without_a_reason(
    two: Two, maker: User, checker: User, at: datetime
) -> None:
    with pytest.raises(changes.MayNotChange):
        people.deactivate(user=maker, reason="left", by=checker, at=at)
    with pytest.raises(changes.NotSaid):
        people.deactivate(user=maker, reason=" ", by=two[0], at=at)
    maker.refresh_from_db()
    assert maker.is_active


# -- lost factors -----------------------------------------------------------------------------------------------


def reset_of(user: User, two: Two, at: datetime, proof: str = "Seen in person, with a passport") -> Change:
    return resets.propose_reset(user=user, proof=proof, reason="Lost the phone", by=two[0], at=at)


def test_a_reset_takes_the_password_and_the_sessions_and_sends_a_link(two: Two, maker: User, at: datetime) -> None:
    signed_in(maker)
    change = reset_of(maker, two, at)
    maker.refresh_from_db()
    assert maker.has_usable_password(), "nothing happens by a proposal"
    resets.confirm_reset(change_id=change.pk, by=two[1], digest=change.digest, at=at)
    maker.refresh_from_db()
    assert not maker.has_usable_password()
    assert sessions.sessions_of(maker) == []
    assert Notice.objects.get(kind=links.KIND).to == maker.email
    assert entries("user.reset")[-1].facts["proof"] == "Seen in person, with a passport"


def test_of_two_resets_at_once_one_waits_before_it_has_locked_anything(two: Two, maker: User, at: datetime) -> None:
    """Else each holds a row that the other needs, and the database ends one of them."""
    change = reset_of(maker, two, at)
    with CaptureQueriesContext(database) as captured:
        resets.confirm_reset(change_id=change.pk, by=two[1], digest=change.digest, at=at)
    asked = [one["sql"] for one in captured if "SAVEPOINT" not in one["sql"]]
    assert "pg_advisory_xact_lock(hashtextextended('people'" in asked[0]
    locking = [one for one in asked if one.endswith("FOR UPDATE")]
    assert locking == [], "and nobody who only refers to the person waits for it"


def test_a_reset_says_how_it_was_made_sure_who_they_are(two: Two, maker: User, at: datetime) -> None:
    with pytest.raises(NotEnrolled, match="Say how you made sure who they are"):
        reset_of(maker, two, at, proof="  ")


def test_nobody_resets_themself_whichever_of_their_sign_ins_they_use(two: Two, at: datetime) -> None:
    with pytest.raises(changes.MayNotChange):
        reset_of(two[0], two, at)
    own = person("own", email=two[1].email)
    change = reset_of(own, two, at)
    with pytest.raises(changes.MayNotChange):
        resets.confirm_reset(change_id=change.pk, by=two[1], digest=change.digest, at=at)


def test_a_reset_of_somebody_who_left_or_moved_is_refused(two: Two, maker: User, checker: User, at: datetime) -> None:
    for user in (maker, checker):
        change = reset_of(user, two, at)
        if user is maker:
            deactivate(user)
        else:
            amend(user, email="else@example.org")
        with pytest.raises(NoLongerSo):
            resets.confirm_reset(change_id=change.pk, by=two[1], digest=change.digest, at=at)


# -- links ------------------------------------------------------------------------------------------------------


def test_a_link_is_void_once_used_and_once_the_sign_in_ends(two: Two, at: datetime) -> None:
    vera = enrolled(two, at)
    key = re.search(r"-(.+)/$", links.link_for(vera).removeprefix("http://").partition("/")[2])
    assert key is not None
    token = key[1]
    assert links.TOKENS.check_token(vera, token)
    vera.is_active = False
    assert not links.TOKENS.check_token(vera, token)
    vera.is_active = True
    vera.set_password("something long that nobody knows")
    assert not links.TOKENS.check_token(vera, token)


def test_a_link_gone_astray_stays_void_when_the_sign_in_is_opened_again(two: Two, at: datetime) -> None:
    vera = enrolled(two, at)
    token = links.TOKENS.make_token(vera)
    people.deactivate(user=vera, reason="the letter went astray", by=two[0], at=at)
    vera.refresh_from_db()
    opened = agreed_details(vera, two, at, reopen=True)
    assert not links.TOKENS.check_token(opened, token)
    letters = Notice.objects.filter(kind=links.KIND, subject="user:vera")
    assert letters.count() == 2, "and they are sent a fresh one"
    assert "Earlier links no longer work" in letters.latest("pk").text


def test_whoever_has_a_password_is_sent_no_link_when_they_may_sign_in_again(
    two: Two, maker: User, at: datetime
) -> None:
    people.deactivate(user=maker, reason="left", by=two[0], at=at)
    maker.refresh_from_db()
    agreed_details(maker, two, at, reopen=True)
    assert not Notice.objects.filter(kind=links.KIND, subject=maker.subject).exists()
