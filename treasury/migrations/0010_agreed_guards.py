"""What governs changes by what two people agreed on, or not at all; what an upgrade finds is adopted, and the log says so."""

from __future__ import annotations

import hashlib
import importlib
import json
from datetime import UTC, datetime

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

guard = importlib.import_module("treasury.migrations.0002_guards").guard

APPEND_ONLY_TABLES = (
    "treasury_policy",
    "treasury_assessment",
    "treasury_housesetting",
    "treasury_withdrawal",
)
# Rows that change, by their verbs, and are never taken away.
KEPT_TABLES = ("treasury_user", "treasury_membership", "treasury_connection", "treasury_account")
ADOPT = "house.adopt"

# One agreement, and what it agreed on: applied in this very transaction, so that no agreement is used twice.
AGREED = """
CREATE FUNCTION treasury_agreed(change bigint, kinds text[]) RETURNS treasury_change LANGUAGE plpgsql STABLE AS $$
DECLARE c treasury_change;
BEGIN
    SELECT * INTO c FROM treasury_change WHERE id = change;
    IF c.id IS NULL OR c.kind <> ALL (kinds) OR c.ruling IS DISTINCT FROM 'applied'
        OR c.applied_in IS DISTINCT FROM pg_current_xact_id()::text::bigint THEN
        RAISE EXCEPTION 'no change that was agreed on and is applied now says so' USING ERRCODE = '23514';
    END IF;
    RETURN c;
END $$;

CREATE FUNCTION treasury_other_words(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: the change that was agreed on says something else', what USING ERRCODE = '23514';
END $$;
"""

# As before; and two sign-ins of one natural person are one person, the factors stay as they were noted, and the
# transaction that applies it is written down. The first set-up alone has nobody to propose it, while nobody is there.
CHANGE = """
CREATE OR REPLACE FUNCTION treasury_change_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.ruling IS NOT NULL OR NEW.applied_in IS NOT NULL THEN
            RAISE EXCEPTION 'a change is proposed before it is decided' USING ERRCODE = '23514';
        END IF;
        IF NEW.kind = 'house.adopt' OR NEW.kind = 'house.bootstrap' AND EXISTS (
            SELECT FROM treasury_membership m WHERE m."group" = 'user administrators') THEN
            RAISE EXCEPTION 'the house is set up already: two people agree on changes' USING ERRCODE = '23514';
        END IF;
        IF NEW.kind = 'house.bootstrap' AND (jsonb_array_length(NEW.words -> 'people') = 2
            AND NEW.words -> 'people' -> 0 ->> 'person' <> NEW.words -> 'people' -> 1 ->> 'person') IS NOT TRUE THEN
            RAISE EXCEPTION 'the first set-up names two people' USING ERRCODE = '23514';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.kind, NEW.subject, NEW.words, NEW.digest, NEW.reason, NEW.proposed_by_id, NEW.proposed_at,
        NEW.proposed_factor)
        IS DISTINCT FROM
        (OLD.id, OLD.kind, OLD.subject, OLD.words, OLD.digest, OLD.reason, OLD.proposed_by_id, OLD.proposed_at,
        OLD.proposed_factor)
        OR NEW.applied_in IS DISTINCT FROM OLD.applied_in
        OR (OLD.ruling IS NOT NULL AND (NEW.ruling, NEW.decided_by_id, NEW.decided_at, NEW.decided_factor, NEW.said)
            IS DISTINCT FROM (OLD.ruling, OLD.decided_by_id, OLD.decided_at, OLD.decided_factor, OLD.said)) THEN
        RAISE EXCEPTION 'change % stays as it was proposed, and is decided once', OLD.id USING ERRCODE = '23001';
    END IF;
    -- A secret that waits may be sealed anew under a newer key, or emptied; one that is gone does not come back.
    IF NEW.sealed <> OLD.sealed AND NEW.sealed <> '' AND (OLD.sealed = '' OR NEW.ruling IS NOT NULL) THEN
        RAISE EXCEPTION 'change % stays as it was proposed, and is decided once', OLD.id USING ERRCODE = '23001';
    END IF;
    IF NEW.ruling = 'withdrawn' AND NEW.decided_by_id <> NEW.proposed_by_id
        OR NEW.ruling IN ('applied', 'declined') AND NEW.proposed_by_id IS NOT NULL AND EXISTS (
            SELECT FROM treasury_user a, treasury_user b
            WHERE a.id = NEW.decided_by_id AND b.id = NEW.proposed_by_id AND a.person = b.person) THEN
        RAISE EXCEPTION 'change %: nobody decides on their own proposal', OLD.id USING ERRCODE = '23514';
    END IF;
    IF OLD.ruling IS NULL AND NEW.ruling = 'applied' THEN
        NEW.applied_in := pg_current_xact_id()::text::bigint;
    END IF;
    RETURN NEW;
END $$;
"""

USER = """
CREATE FUNCTION treasury_user_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    c treasury_change;
    who jsonb := jsonb_build_object('username', NEW.username, 'first_name', NEW.first_name,
        'last_name', NEW.last_name, 'email', NEW.email, 'person', NEW.person,
        'provider_subject', NEW.provider_subject, 'superuser', NEW.is_superuser);
BEGIN
    IF TG_OP = 'INSERT' THEN
        c := treasury_agreed(NEW.change_id, ARRAY['user.enrol', 'house.bootstrap']);
        IF NEW.is_staff THEN
            who := who || '{"staff": true}';
        END IF;
        IF (CASE c.kind WHEN 'user.enrol' THEN c.subject = 'user:' || NEW.username AND c.words @> who
            ELSE c.words -> 'people' @> jsonb_build_array(who) END) IS NOT TRUE THEN
            PERFORM treasury_other_words('user ' || NEW.username);
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.username, NEW.is_staff, NEW.is_superuser, NEW.date_joined)
        IS DISTINCT FROM (OLD.id, OLD.username, OLD.is_staff, OLD.is_superuser, OLD.date_joined) THEN
        RAISE EXCEPTION 'user % keeps its name and its flags', OLD.username USING ERRCODE = '23001';
    END IF;
    IF (NEW.first_name, NEW.last_name, NEW.email, NEW.person, NEW.provider_subject, NEW.change_id)
        IS NOT DISTINCT FROM
        (OLD.first_name, OLD.last_name, OLD.email, OLD.person, OLD.provider_subject, OLD.change_id)
        AND (NEW.is_active = OLD.is_active OR NOT NEW.is_active) THEN
        RETURN NEW;  -- a password, the last sign-in; and one person is enough to end a sign-in
    END IF;
    c := treasury_agreed(NEW.change_id, ARRAY['user.change']);
    IF (c.subject = 'user:' || NEW.username AND c.words ->> 'username' = NEW.username
        AND c.words -> 'becomes' @> jsonb_build_object('first_name', NEW.first_name, 'last_name', NEW.last_name,
            'email', NEW.email, 'person', NEW.person, 'provider_subject', NEW.provider_subject,
            'active', NEW.is_active)) IS NOT TRUE THEN
        PERFORM treasury_other_words('user ' || NEW.username);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_user_guard BEFORE INSERT OR UPDATE ON treasury_user
    FOR EACH ROW EXECUTE FUNCTION treasury_user_guard();

CREATE FUNCTION treasury_user_witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM treasury_auditentry e WHERE e.xid = pg_current_xact_id() AND e.result = 'done'
        AND e.subject = 'user:' || NEW.username AND e.action = 'user.deactivate') THEN
        RAISE EXCEPTION 'user % was deactivated and the log does not say so', NEW.username USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER treasury_user_deactivated AFTER UPDATE ON treasury_user
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.is_active AND NOT NEW.is_active)
    EXECUTE FUNCTION treasury_user_witness();

CREATE FUNCTION treasury_membership_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    c treasury_change;
    name text := (SELECT u.username FROM treasury_user u WHERE u.id = NEW.user_id);
BEGIN
    IF TG_OP = 'INSERT' THEN
        c := treasury_agreed(NEW.change_id, ARRAY['membership.set', 'user.enrol', 'house.bootstrap']);
        IF NEW.ended_at IS NOT NULL OR (CASE c.kind
            WHEN 'user.enrol' THEN c.words ->> 'username' = name AND c.words -> 'groups' ? NEW."group"
            WHEN 'membership.set' THEN c.words -> 'memberships' @> jsonb_build_array(
                jsonb_build_object('username', name, 'group', NEW."group", 'member', true))
            ELSE NEW."group" = 'user administrators'
                AND c.words -> 'people' @> jsonb_build_array(jsonb_build_object('username', name))
            END) IS NOT TRUE THEN
            PERFORM treasury_other_words(name || ' in ' || NEW."group");
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.ended_at IS NOT NULL OR NEW.ended_at IS NULL OR (NEW.id, NEW.user_id, NEW."group", NEW.at, NEW.change_id)
        IS DISTINCT FROM (OLD.id, OLD.user_id, OLD."group", OLD.at, OLD.change_id) THEN
        RAISE EXCEPTION 'a membership ends once, and is never changed' USING ERRCODE = '23001';
    END IF;
    c := treasury_agreed(NEW.ended_by_id, ARRAY['membership.set']);
    IF (c.words -> 'memberships' @> jsonb_build_array(
        jsonb_build_object('username', name, 'group', NEW."group", 'member', false))) IS NOT TRUE THEN
        PERFORM treasury_other_words(name || ' in ' || NEW."group");
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_membership_guard BEFORE INSERT OR UPDATE ON treasury_membership
    FOR EACH ROW EXECUTE FUNCTION treasury_membership_guard();

-- Django's own groups and permissions confer nothing here, and stay empty so that nobody believes they do.
CREATE FUNCTION treasury_confers_nothing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% confers nothing; roles are memberships, given by a change', TG_TABLE_NAME USING ERRCODE = '23514';
END $$;
CREATE TRIGGER treasury_no_groups BEFORE INSERT OR UPDATE ON auth_group
    FOR EACH ROW EXECUTE FUNCTION treasury_confers_nothing();
CREATE TRIGGER treasury_no_permissions BEFORE INSERT OR UPDATE ON auth_group_permissions
    FOR EACH ROW EXECUTE FUNCTION treasury_confers_nothing();
CREATE TRIGGER treasury_no_groups BEFORE INSERT OR UPDATE ON treasury_user_groups
    FOR EACH ROW EXECUTE FUNCTION treasury_confers_nothing();
CREATE TRIGGER treasury_no_permissions BEFORE INSERT OR UPDATE ON treasury_user_user_permissions
    FOR EACH ROW EXECUTE FUNCTION treasury_confers_nothing();
"""

CONNECTION = """
CREATE FUNCTION treasury_connection_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE c treasury_change;
BEGIN
    IF TG_OP = 'INSERT' THEN
        c := treasury_agreed(NEW.change_id, ARRAY['connection.connect']);
        IF NOT c.words @> jsonb_build_object('name', NEW.name, 'venue', NEW.venue, 'environment', NEW.environment)
            OR NEW.login IS DISTINCT FROM (
                SELECT l.login FROM treasury_firstlook l WHERE l.change_id = c.id ORDER BY l.id DESC LIMIT 1) THEN
            PERFORM treasury_other_words('connection ' || NEW.name);
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.name, NEW.venue, NEW.environment, NEW.login, NEW.by_hand, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.name, OLD.venue, OLD.environment, OLD.login, OLD.by_hand, OLD.created_at) THEN
        RAISE EXCEPTION 'connection % keeps its name, its venue and its login', OLD.name USING ERRCODE = '23001';
    END IF;
    IF (NEW.credentials_at, NEW.change_id) IS NOT DISTINCT FROM (OLD.credentials_at, OLD.change_id)
        AND (NEW.fingerprint = OLD.fingerprint OR OLD.fingerprint = '') THEN
        RETURN NEW;  -- the same credentials, sealed under another key
    END IF;
    c := treasury_agreed(NEW.change_id, ARRAY['credentials.replace']);
    IF c.subject <> 'connection:' || NEW.name OR NEW.login IS DISTINCT FROM (
        SELECT l.login FROM treasury_firstlook l WHERE l.change_id = c.id ORDER BY l.id DESC LIMIT 1) THEN
        PERFORM treasury_other_words('connection ' || NEW.name);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_connection_guard BEFORE INSERT OR UPDATE ON treasury_connection
    FOR EACH ROW EXECUTE FUNCTION treasury_connection_guard();

CREATE FUNCTION treasury_account_agreed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    c treasury_change;
    name text := (SELECT x.name FROM treasury_connection x WHERE x.id = NEW.connection_id);
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.id, NEW.kind, NEW.title, NEW.quiet, NEW.change_id)
        IS NOT DISTINCT FROM (OLD.id, OLD.kind, OLD.title, OLD.quiet, OLD.change_id) THEN
        RETURN NEW;
    END IF;
    c := treasury_agreed(NEW.change_id, ARRAY['account.set_up', 'connection.connect']);
    IF TG_OP = 'UPDATE' AND (c.kind <> 'account.set_up' OR NEW.id <> OLD.id OR NEW.kind <> OLD.kind)
        OR c.subject <> 'connection:' || name
        OR c.kind = 'account.set_up' AND (c.words -> 'accounts' @> jsonb_build_array(jsonb_build_object(
            'address', NEW.address, 'kind', NEW.kind, 'title', NEW.title, 'quiet', NEW.quiet))) IS NOT TRUE
        OR c.kind = 'connection.connect' AND (NEW.quiet OR NOT EXISTS (
            SELECT FROM treasury_firstlook l WHERE l.change_id = c.id AND l.accounts @> jsonb_build_array(
                jsonb_build_object('address', NEW.address, 'kind', NEW.kind, 'title', NEW.title)))) THEN
        PERFORM treasury_other_words('account ' || NEW.address || ' of ' || name);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_account_agreed BEFORE INSERT OR UPDATE ON treasury_account
    FOR EACH ROW EXECUTE FUNCTION treasury_account_agreed();
"""

POLICY = """
CREATE FUNCTION treasury_policy_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE c treasury_change;
BEGIN
    c := treasury_agreed(NEW.change_id, ARRAY['policy.set', 'house.bootstrap']);
    IF NEW.digest <> encode(sha256(convert_to(NEW.text, 'UTF8')), 'hex') OR c.words ->> 'policy' IS DISTINCT FROM NEW.text THEN
        PERFORM treasury_other_words('policy version ' || NEW.number);
    END IF;
    IF NEW.number <> 1 + coalesce((SELECT max(p.number) FROM treasury_policy p), 0) THEN
        RAISE EXCEPTION 'policy versions are counted one by one' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_policy_guard BEFORE INSERT ON treasury_policy
    FOR EACH ROW EXECUTE FUNCTION treasury_policy_guard();

CREATE FUNCTION treasury_housesetting_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE c treasury_change;
BEGIN
    c := treasury_agreed(NEW.change_id, ARRAY['house.set']);
    IF NOT c.words @> jsonb_build_object('name', NEW.name, 'value', NEW.value) THEN
        PERFORM treasury_other_words('setting ' || NEW.name);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_housesetting_guard BEFORE INSERT ON treasury_housesetting
    FOR EACH ROW EXECUTE FUNCTION treasury_housesetting_guard();
"""

# A round asks for what the policy answered, of the version that the first round was asked under.
ASSESSMENT = """
CREATE FUNCTION treasury_assessment_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE t treasury_transfer;
BEGIN
    SELECT * INTO t FROM treasury_transfer WHERE id = NEW.transfer_id FOR UPDATE;
    IF t.state NOT IN ('DRAFT', 'APPROVED') OR NEW.round <> t.round + 1 THEN
        RAISE EXCEPTION '%: the policy is asked when a round begins', t.reference USING ERRCODE = '23514';
    END IF;
    IF EXISTS (SELECT FROM treasury_assessment a WHERE a.transfer_id = t.id AND a.policy_id <> NEW.policy_id) THEN
        RAISE EXCEPTION '%: it keeps the version that it was submitted under', t.reference USING ERRCODE = '23514';
    END IF;
    IF NOT EXISTS (SELECT FROM treasury_assessment a WHERE a.transfer_id = t.id)
        AND EXISTS (SELECT FROM treasury_policy p, treasury_policy q WHERE q.id = NEW.policy_id AND p.number > q.number) THEN
        RAISE EXCEPTION '%: it is asked under the version in force', t.reference USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_assessment_guard BEFORE INSERT ON treasury_assessment
    FOR EACH ROW EXECUTE FUNCTION treasury_assessment_guard();

CREATE FUNCTION treasury_transfer_assessed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM treasury_assessment a WHERE a.transfer_id = NEW.id AND a.round = NEW.round
            AND a.answer::jsonb -> 'demands' = (SELECT jsonb_object_agg(d."group", d.count)
                FROM treasury_demand d WHERE d.transfer_id = NEW.id AND d.round = NEW.round)) THEN
        RAISE EXCEPTION '%: its demands are not those of the policy', NEW.reference USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_transfer_assessed BEFORE UPDATE ON treasury_transfer
    FOR EACH ROW WHEN (OLD.state <> 'SUBMITTED' AND NEW.state = 'SUBMITTED')
    EXECUTE FUNCTION treasury_transfer_assessed();
"""

# People are counted, not sign-ins; what was taken back does not count; and a decision counts for groups that whoever
# gave it is in. Asked when it becomes approved, and again when it is claimed.
DECISION = """
CREATE FUNCTION treasury_decision_person() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    t treasury_transfer;
    who treasury_user;
BEGIN
    SELECT * INTO t FROM treasury_transfer WHERE id = NEW.transfer_id;
    SELECT * INTO who FROM treasury_user WHERE id = NEW.by_id;
    IF who.person = (SELECT u.person FROM treasury_user u WHERE u.id = t.maker_id) THEN
        RAISE EXCEPTION '%: its maker is not its checker', t.reference USING ERRCODE = '23514';
    END IF;
    IF NOT who.is_active OR EXISTS (
        SELECT FROM unnest(NEW.counts_for) AS counted (name) WHERE NOT EXISTS (
            SELECT FROM treasury_membership m
            WHERE m.user_id = who.id AND m."group" = counted.name AND m.ended_at IS NULL)) THEN
        RAISE EXCEPTION '%: counted for a group that % is not in', t.reference, who.username USING ERRCODE = '23514';
    END IF;
    IF EXISTS (
        SELECT FROM treasury_decision d JOIN treasury_user u ON u.id = d.by_id
        WHERE d.transfer_id = NEW.transfer_id AND d.round = NEW.round AND u.person = who.person
            AND NOT EXISTS (SELECT FROM treasury_withdrawal w WHERE w.decision_id = d.id)) THEN
        RAISE EXCEPTION '%: one person decides once', t.reference USING ERRCODE = '23505';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_decision_person BEFORE INSERT ON treasury_decision
    FOR EACH ROW EXECUTE FUNCTION treasury_decision_person();

CREATE FUNCTION treasury_withdrawal_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM treasury_decision d JOIN treasury_transfer t ON t.id = d.transfer_id
    WHERE d.id = NEW.decision_id AND d.verdict = 'approve' AND d.round = t.round AND t.state IN ('SUBMITTED', 'APPROVED')
        FOR UPDATE OF t;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'an approval is taken back before dispatch begins' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_withdrawal_guard BEFORE INSERT ON treasury_withdrawal
    FOR EACH ROW EXECUTE FUNCTION treasury_withdrawal_guard();

CREATE FUNCTION treasury_withdrawal_witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM treasury_decision d JOIN treasury_transfer t ON t.id = d.transfer_id
        JOIN treasury_auditentry e ON e.subject = 'transfer:' || t.reference
        WHERE d.id = NEW.decision_id AND e.xid = pg_current_xact_id() AND e.result = 'done') THEN
        RAISE EXCEPTION 'an approval was taken back and the log does not say so' USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER treasury_withdrawal_told AFTER INSERT ON treasury_withdrawal
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION treasury_withdrawal_witness();

CREATE FUNCTION treasury_transfer_quorum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM treasury_demand d
        WHERE d.transfer_id = NEW.id AND d.round = NEW.round AND d.count > (
            SELECT count(DISTINCT u.person) FROM treasury_decision c JOIN treasury_user u ON u.id = c.by_id
            WHERE c.transfer_id = NEW.id AND c.round = NEW.round AND c.verdict = 'approve' AND c.digest = NEW.digest
                AND d."group" = ANY (c.counts_for)
                AND u.person <> (SELECT m.person FROM treasury_user m WHERE m.id = NEW.maker_id)
                AND NOT EXISTS (SELECT FROM treasury_withdrawal w WHERE w.decision_id = c.id))) THEN
        RAISE EXCEPTION '%: % without its decisions', NEW.reference, NEW.state USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_transfer_quorum BEFORE UPDATE ON treasury_transfer
    FOR EACH ROW WHEN (OLD.state = 'SUBMITTED' AND NEW.state = 'APPROVED'
        OR OLD.state = 'APPROVED' AND NEW.state = 'DISPATCHING')
    EXECUTE FUNCTION treasury_transfer_quorum();
"""

# What counts sign-in attempts and other passing things, for every process; Django's database cache.
CACHE = """
CREATE TABLE treasury_cache (cache_key varchar(255) PRIMARY KEY, value text NOT NULL, expires timestamptz NOT NULL);
CREATE INDEX treasury_cache_expires ON treasury_cache (expires);
"""


def adopt(apps, schema_editor):
    """An installation that runs keeps what it has: adopted under one change, which the log names. A new one has
    nothing to adopt."""
    user, connection = apps.get_model("treasury", "User"), apps.get_model("treasury", "Connection")
    if not user.objects.exists() and not connection.objects.exists():
        return
    at = datetime.now(UTC)
    text = canonical(first_policy())
    words = {"policy": text, "because": "an upgrade found them"}
    reason = "Found by the upgrade that began to govern them"
    change = apps.get_model("treasury", "Change").objects.create(
        kind=ADOPT,
        subject="house:",
        words=words,
        digest=sha256(canonical({"kind": ADOPT, "subject": "house:", "words": words, "reason": reason})),
        reason=reason,
        proposed_at=at,
    )
    with schema_editor.connection.cursor() as cursor:
        write_entry(cursor, change.pk, at, apps.get_model("treasury", "AuditEntry"))
        for sql in ADOPTING.split(";")[:-1]:
            cursor.execute(sql, {"change": change.pk, "at": at})
    apps.get_model("treasury", "Policy").objects.create(number=1, text=text, digest=sha256(text), change=change, at=at)


ADOPTING = """
UPDATE treasury_change SET ruling = 'applied', decided_at = %(at)s, applied_in = pg_current_xact_id()::text::bigint
    WHERE id = %(change)s;
UPDATE treasury_user SET change_id = %(change)s,
    person = CASE WHEN email = '' THEN 'user:' || username ELSE lower(email) END;
INSERT INTO treasury_membership (user_id, "group", at, change_id)
    SELECT ug.user_id, g.name, %(at)s, %(change)s
    FROM treasury_user_groups ug JOIN auth_group g ON g.id = ug.group_id;
DELETE FROM treasury_user_groups;
DELETE FROM auth_group;
UPDATE treasury_connection SET change_id = %(change)s, credentials_at = created_at;
UPDATE treasury_account SET change_id = %(change)s;
"""


def first_policy():
    """The three settings that governed before, as rules, limits and floors; see treasury.controls.rulebook for the words."""
    above = settings.TWO_CHECKERS_ABOVE
    rules = []
    for asset, amount in above.items():
        named = {"assets": [asset]} if asset != "*" else {}
        over = {}
        if amount:
            when = {**named, "up_to": plain(amount), "in": "asset"}
            over = {"over": plain(amount), "in": "asset"}
            rules.append({"name": f"{asset} up to {grouped(amount)}", "when": when, "demands": {"checkers": 1}})
        rules.append({"name": f"{asset} above {grouped(amount)}", "when": named | over, "demands": {"checkers": 2}})
    if "*" not in above:
        rules.append({"name": "Everything else", "when": {}, "demands": {"checkers": 2}})
    rules.sort(key=lambda rule: "assets" not in rule["when"])  # the first that matches decides
    limits = [
        {"of": "connection", "hours": 24, "most": plain(most), "in": "asset"}
        | ({"assets": [asset]} if asset != "*" else {})
        for asset, most in settings.DAILY_LIMITS.items()
    ]
    floors = {asset: plain(amount) for asset, amount in settings.FLOORS.items()}
    return {"rules": rules, "limits": limits, "floors": floors}


def plain(amount):
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def grouped(amount):
    """As pages group digits, with a space between: it is part of a rule's name."""
    whole, point, decimals = plain(amount).partition(".")
    return f"{int(whole):,}".replace(",", " ") + point + decimals


def canonical(value):
    """As treasury.audit.record writes it: a migration does not import what may change later."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def write_entry(cursor, change, at, entries):
    cursor.execute("SELECT nextval(pg_get_serial_sequence('treasury_auditentry', 'id')), pg_current_xact_id()::text")
    number, xid = cursor.fetchone()
    entry = {
        "v": 1,
        "id": str(number),
        "xid": xid,
        "at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "who": {"id": "machine:upgrade", "name": "upgrade", "roles": []},
        "action": ADOPT,
        "subject": "house:",
        "result": "done",
        "origin": None,
        "facts": {"change": change, "kind": ADOPT},
    }
    entries.objects.create(id=number, xid=xid, at=at, canonical=canonical(entry))


def agreed(help_text=""):
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="treasury.change", help_text=help_text
    )


AS_IT_STANDS = "What agreed on it as it stands."


class Migration(migrations.Migration):
    dependencies = [("treasury", "0009_agreed")]

    operations = [
        migrations.RunPython(adopt, migrations.RunPython.noop),
        # Deferred checks of the rows just written are made now: a table with some pending cannot be altered.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AlterField("user", "change", agreed()),
        migrations.AlterField("connection", "change", agreed(AS_IT_STANDS)),
        migrations.AlterField("account", "change", agreed(AS_IT_STANDS)),
        migrations.AlterField(
            "user",
            "person",
            models.CharField(
                max_length=254,
                help_text="Equal texts are one natural person, who counts once; see treasury.controls.people.",
            ),
        ),
        *(
            migrations.RunSQL(sql, migrations.RunSQL.noop)
            for sql in (
                *(guard(table, change="UPDATE OR DELETE") for table in APPEND_ONLY_TABLES),
                *(guard(table, change="DELETE") for table in KEPT_TABLES),
                AGREED,
                CHANGE,
                USER,
                CONNECTION,
                POLICY,
                ASSESSMENT,
                DECISION,
                CACHE,
            )
        ),
    ]
