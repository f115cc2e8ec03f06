"""One natural person stays one, whoever agrees on what; and every decision has its entry in the log."""

from __future__ import annotations

import importlib

from django.db import migrations

doubt = importlib.import_module("treasury.migrations.0005_doubt_guards")
hand = importlib.import_module("treasury.migrations.0008_hand_guards")
agreed = importlib.import_module("treasury.migrations.0010_agreed_guards")
roles = importlib.import_module("treasury.migrations.0011_roles")

# Who becomes somebody else becomes somebody who is there, and leaves no other sign-in of theirs behind: so people are
# joined, and never parted or made up. One at a time, since each looks at what the other writes.
PERSON = """
CREATE FUNCTION treasury_user_person() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE c treasury_change;
BEGIN
    SELECT * INTO c FROM treasury_change WHERE id = NEW.change_id;
    PERFORM pg_advisory_xact_lock(hashtextextended('people', 0));
    IF c.words ->> 'same_as' <> '' AND NOT EXISTS (
        SELECT FROM treasury_user u WHERE u.username = c.words ->> 'same_as' AND u.person = NEW.person) THEN
        RAISE EXCEPTION 'user %: % is another natural person by now', NEW.username, c.words ->> 'same_as'
            USING ERRCODE = '23514';
    END IF;
    IF TG_OP = 'UPDATE' AND (
        NOT EXISTS (SELECT FROM treasury_user u WHERE u.id <> NEW.id AND u.person = NEW.person)
        OR EXISTS (SELECT FROM treasury_user u WHERE u.id <> NEW.id AND u.person = OLD.person)) THEN
        RAISE EXCEPTION 'user %: one natural person would count as two', NEW.username USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_user_person_new BEFORE INSERT ON treasury_user
    FOR EACH ROW EXECUTE FUNCTION treasury_user_person();
CREATE TRIGGER treasury_user_person_other BEFORE UPDATE ON treasury_user
    FOR EACH ROW WHEN (OLD.person <> NEW.person) EXECUTE FUNCTION treasury_user_person();
"""

# Two sign-ins of one person are one person here too.
ANOTHER = """
CREATE FUNCTION treasury_is_another(decider bigint, proposer bigint, maker bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM treasury_user d, treasury_user p, treasury_user m
        WHERE d.id = decider AND p.id = proposer AND m.id = maker AND d.person NOT IN (p.person, m.person))
$$;
"""
BY_NUMBER = "c.decided_by_id NOT IN (c.proposed_by_id, {maker})"
BY_PERSON = "treasury_is_another(c.decided_by_id, c.proposed_by_id, {maker})"


def functions(text: str) -> str:
    """The functions that it makes, made anew; their triggers stay."""
    parts = text.split("CREATE TRIGGER")
    made = [part[part.find("CREATE FUNCTION") :] for part in parts if "CREATE FUNCTION" in part]
    return "".join(made).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


def of_people(text: str, maker: str, times: int = 1) -> str:
    """The guards as before, but that they compare natural people instead of sign-ins."""
    assert text.count(BY_NUMBER.format(maker=maker)) == times
    return functions(text).replace(BY_NUMBER.format(maker=maker), BY_PERSON.format(maker=maker))


BEFORE_ONCE = "    IF EXISTS (\n        SELECT FROM treasury_decision d JOIN treasury_user u"
IS_CHECKER = """    IF NOT EXISTS (SELECT FROM treasury_membership m
        WHERE m.user_id = who.id AND m."group" = 'checkers' AND m.ended_at IS NULL) THEN
        RAISE EXCEPTION '%: % is no checker', t.reference, who.username USING ERRCODE = '23514';
    END IF;
"""


def of_checkers() -> str:
    """The guard of decisions as before, but that whoever decides is a checker at that moment."""
    text = functions(agreed.DECISION.split("CREATE TRIGGER treasury_decision_person")[0])
    assert text.count(BEFORE_ONCE) == 1
    return text.replace(BEFORE_ONCE, IS_CHECKER + BEFORE_ONCE)


TOLD = """
CREATE FUNCTION treasury_decision_witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM treasury_transfer t JOIN treasury_auditentry e ON e.subject = 'transfer:' || t.reference
        WHERE t.id = NEW.transfer_id AND e.xid = pg_current_xact_id() AND e.result = 'done') THEN
        RAISE EXCEPTION 'a transfer was decided on and the log does not say so' USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER treasury_decision_told AFTER INSERT ON treasury_decision
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION treasury_decision_witness();
"""


class Migration(migrations.Migration):
    dependencies = [("treasury", "0011_roles")]

    operations = [
        migrations.RunSQL(sql, migrations.RunSQL.noop)
        for sql in (
            PERSON,
            ANOTHER,
            of_people(doubt.RESOLUTION, "t.maker_id", times=2),
            of_people(hand.BY_HAND, "NEW.maker_id"),
            of_checkers(),
            TOLD,
            roles.FIXED_PATHS,  # a function that was made anew has lost its own
        )
    ]
