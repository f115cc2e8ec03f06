"""The database's opinion on changes, resolutions and stops; earlier releases of stops become changes."""

from __future__ import annotations

import hashlib
import importlib
import json

from django.db import migrations

guard = importlib.import_module("treasury.migrations.0002_guards").guard

APPEND_ONLY_TABLES = ("treasury_attachment", "treasury_firstlook", "treasury_resolution", "treasury_movement")
KEPT_TABLES = ("treasury_change", "treasury_contradiction")

# Every proposal and every ruling has its entry in the log, of the same transaction, naming it.
CHANGE = """
CREATE FUNCTION treasury_change_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.ruling IS NOT NULL THEN
            RAISE EXCEPTION 'a change is proposed before it is decided' USING ERRCODE = '23514';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.kind, NEW.subject, NEW.words, NEW.digest, NEW.reason, NEW.proposed_by_id, NEW.proposed_at)
        IS DISTINCT FROM
        (OLD.id, OLD.kind, OLD.subject, OLD.words, OLD.digest, OLD.reason, OLD.proposed_by_id, OLD.proposed_at)
        OR (NEW.sealed <> OLD.sealed AND NEW.sealed <> '')
        OR (OLD.ruling IS NOT NULL AND (NEW.ruling, NEW.decided_by_id, NEW.decided_at, NEW.said)
            IS DISTINCT FROM (OLD.ruling, OLD.decided_by_id, OLD.decided_at, OLD.said)) THEN
        RAISE EXCEPTION 'change % stays as it was proposed, and is decided once', OLD.id USING ERRCODE = '23001';
    END IF;
    IF NEW.ruling = 'withdrawn' AND NEW.decided_by_id <> NEW.proposed_by_id
        OR NEW.ruling IN ('applied', 'declined') AND NEW.decided_by_id = NEW.proposed_by_id THEN
        RAISE EXCEPTION 'change %: nobody decides on their own proposal', OLD.id USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_change_guard BEFORE INSERT OR UPDATE ON treasury_change
    FOR EACH ROW EXECUTE FUNCTION treasury_change_guard();

CREATE FUNCTION treasury_change_witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM treasury_auditentry e
        WHERE e.xid = pg_current_xact_id() AND e.result = 'done' AND e.facts ->> 'change' = NEW.id::text
    ) THEN
        RAISE EXCEPTION 'change % and the log does not say so', NEW.id USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER treasury_change_proposed AFTER INSERT ON treasury_change
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION treasury_change_witness();
CREATE CONSTRAINT TRIGGER treasury_change_ruled AFTER UPDATE ON treasury_change
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.ruling IS DISTINCT FROM NEW.ruling)
    EXECUTE FUNCTION treasury_change_witness();
"""

STOP = """
CREATE OR REPLACE FUNCTION treasury_stoporder_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.released_at IS NOT NULL
        OR (NEW.id, NEW.scope, NEW.venue, NEW.connection_id, NEW.asset, NEW.account_id, NEW.reason, NEW."by", NEW.since, NEW.automatic)
        IS DISTINCT FROM
        (OLD.id, OLD.scope, OLD.venue, OLD.connection_id, OLD.asset, OLD.account_id, OLD.reason, OLD."by", OLD.since, OLD.automatic) THEN
        RAISE EXCEPTION 'a stop order stays as it was written' USING ERRCODE = '23001';
    END IF;
    IF NEW.released_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM treasury_change c WHERE c.id = NEW.release_id AND c.kind = 'stop.release' AND c.ruling = 'applied'
            AND c.words ->> 'stop' = NEW.id::text AND c.proposed_by_id <> c.decided_by_id) THEN
        RAISE EXCEPTION 'a stop order ends when two people have released it' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
"""

RESOLUTION = """
CREATE FUNCTION treasury_resolution_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE t treasury_transfer;
BEGIN
    SELECT * INTO t FROM treasury_transfer WHERE id = NEW.transfer_id FOR UPDATE;
    IF NOT EXISTS (
        SELECT FROM treasury_change c WHERE c.id = NEW.change_id AND c.kind = 'transfer.resolve'
            AND c.ruling = 'applied' AND c.subject = 'transfer:' || t.reference
            AND c.words ->> 'moved' = NEW.moved::text
            AND c.decided_by_id NOT IN (c.proposed_by_id, t.maker_id)) THEN
        RAISE EXCEPTION '%: two people resolve, and its maker does not confirm', t.reference USING ERRCODE = '23514';
    END IF;
    IF t.state NOT IN ('DISPATCHING', 'DISPATCHED') THEN
        RAISE EXCEPTION '% is %: nothing is to be resolved', t.reference, t.state USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_resolution_guard BEFORE INSERT ON treasury_resolution
    FOR EACH ROW EXECUTE FUNCTION treasury_resolution_guard();

CREATE FUNCTION treasury_contradiction_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.closed_at IS NOT NULL
        OR (NEW.id, NEW.transfer_id, NEW.at, NEW.words, NEW.look_up_id, NEW.attempt_id)
        IS DISTINCT FROM (OLD.id, OLD.transfer_id, OLD.at, OLD.words, OLD.look_up_id, OLD.attempt_id) THEN
        RAISE EXCEPTION 'a contradiction stays as it was written' USING ERRCODE = '23001';
    END IF;
    IF NEW.closed_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM treasury_change c, treasury_transfer t
        WHERE t.id = NEW.transfer_id AND c.id = NEW.change_id AND c.kind = 'contradiction.close'
            AND c.ruling = 'applied' AND c.words ->> 'contradiction' = NEW.id::text
            AND c.words ->> 'moved' = NEW.moved::text AND c.decided_by_id NOT IN (c.proposed_by_id, t.maker_id)) THEN
        RAISE EXCEPTION 'a contradiction is closed by two people' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_contradiction_guard BEFORE UPDATE ON treasury_contradiction
    FOR EACH ROW EXECUTE FUNCTION treasury_contradiction_guard();

CREATE FUNCTION treasury_contradiction_born() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.closed_at IS NOT NULL THEN
        RAISE EXCEPTION 'a contradiction is open before two people close it' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_contradiction_born BEFORE INSERT ON treasury_contradiction
    FOR EACH ROW EXECUTE FUNCTION treasury_contradiction_born();
"""

# A file comes with its proposal, in the same transaction, and the log has its digest.
ATTACHMENT = """
CREATE FUNCTION treasury_attachment_witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sha256 <> encode(sha256(NEW.content), 'hex') OR NOT EXISTS (
        SELECT FROM treasury_auditentry e
        WHERE e.xid = pg_current_xact_id() AND e.action = 'change.propose' AND e.facts ->> 'change' = NEW.change_id::text
            AND e.facts -> 'words' -> 'files' @> jsonb_build_array(jsonb_build_object('sha256', NEW.sha256))
    ) THEN
        RAISE EXCEPTION 'a file of change % that was not proposed with it', NEW.change_id USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER treasury_attachment_proposed AFTER INSERT ON treasury_attachment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION treasury_attachment_witness();
"""

# As before, and what both accounts held at the claim stays too: two people may have to judge by it.
ATTEMPT = """
CREATE OR REPLACE FUNCTION treasury_attempt_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM FROM treasury_transfer t WHERE t.id = NEW.transfer_id AND t.state = 'DISPATCHING' FOR UPDATE;
        IF NEW.outcome IS NOT NULL OR NOT FOUND THEN
            RAISE EXCEPTION 'an attempt is claimed before it is made' USING ERRCODE = '23514';
        END IF;
        IF EXISTS (SELECT FROM treasury_attempt a WHERE a.transfer_id = NEW.transfer_id AND (
            a.outcome IN ('settled', 'accepted') OR (a.outcome IS NULL AND a.call_ends_at > NEW.claimed_at))) THEN
            RAISE EXCEPTION 'an earlier attempt was taken, or may still be under way' USING ERRCODE = '23514';
        END IF;
    ELSIF OLD.outcome IS NOT NULL OR (NEW.id, NEW.transfer_id, NEW.number, NEW.kind, NEW.claimed_at, NEW.send_before,
        NEW.call_ends_at, NEW.worker, NEW.before) IS DISTINCT FROM (OLD.id, OLD.transfer_id, OLD.number, OLD.kind,
        OLD.claimed_at, OLD.send_before, OLD.call_ends_at, OLD.worker, OLD.before) THEN
        RAISE EXCEPTION 'an attempt''s outcome is written once, the rest never again' USING ERRCODE = '23001';
    END IF;
    RETURN NEW;
END $$;
"""

NUMBERS = """
ALTER TABLE treasury_movement ADD CONSTRAINT movement_adds_up CHECK (after - before = ours + rest AND rest <> 0);
"""

DROP_OLD_STOP_GUARD = "DROP TRIGGER treasury_stoporder_guard ON treasury_stoporder;"
NEW_STOP_TRIGGER = """
CREATE TRIGGER treasury_stoporder_guard BEFORE UPDATE ON treasury_stoporder
    FOR EACH ROW EXECUTE FUNCTION treasury_stoporder_guard();
"""


def digest_of(kind, subject, words, reason):
    """As treasury.controls.changes reckons it: a migration does not import what may change later."""
    said = {"kind": kind, "subject": subject, "words": words, "reason": reason}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def releases_become_changes(apps, schema_editor):
    """What two operators said of a stop keeps its people, times and reasons; the log has it as it was said."""
    change, stop = apps.get_model("treasury", "Change"), apps.get_model("treasury", "StopOrder")
    for order in stop.objects.filter(releases__isnull=False).select_related("connection").distinct():
        first, *more = order.releases.order_by("at", "id")
        words = {"stop": order.pk, "stopped_by": order.by, "because": order.reason}
        subject, reason = f"connection:{order.connection.name}", first.reason or "—"
        made = change.objects.create(
            kind="stop.release",
            subject=subject,
            words=words,
            digest=digest_of("stop.release", subject, words, reason),
            reason=reason,
            proposed_by_id=first.by_id,
            proposed_at=first.at,
            ruling="applied" if more else None,
            decided_by_id=more[0].by_id if more else None,
            decided_at=more[0].at if more else None,
            said=more[0].reason if more else "",
        )
        if more:
            stop.objects.filter(pk=order.pk).update(release=made)


# A transfer that ended as if nothing had moved, and of which the venue later said that it took it.
DOUBTS_BECOME_CONTRADICTIONS = """
INSERT INTO treasury_contradiction (transfer_id, at, words, attempt_id)
SELECT DISTINCT ON (t.id) t.id, a.concluded_at,
    'attempt ' || a.number || ' was taken by the venue after the transfer had ended as ' || t.state, a.id
FROM treasury_transfer t JOIN treasury_attempt a ON a.transfer_id = t.id
WHERE t.state IN ('FAILED', 'CANCELLED', 'EXPIRED') AND a.outcome IN ('settled', 'accepted')
    AND a.concluded_at > t.changed_at
ORDER BY t.id, a.number DESC;
"""


class Migration(migrations.Migration):
    dependencies = [("treasury", "0004_doubt")]

    operations = [
        # The long look through the attempts comes first, before any table is locked.
        migrations.RunSQL(DOUBTS_BECOME_CONTRADICTIONS, migrations.RunSQL.noop),
        migrations.RunSQL(DROP_OLD_STOP_GUARD, migrations.RunSQL.noop),
        migrations.RunPython(releases_become_changes, migrations.RunPython.noop),
        # Deferred checks of the rows just written are made now: a table with some pending cannot be altered.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.DeleteModel(name="StopRelease"),
        *(
            migrations.RunSQL(sql, migrations.RunSQL.noop)
            for sql in (
                *(guard(table, change="UPDATE OR DELETE") for table in APPEND_ONLY_TABLES),
                *(guard(table, change="DELETE") for table in KEPT_TABLES),
                CHANGE,
                STOP,
                NEW_STOP_TRIGGER,
                RESOLUTION,
                ATTACHMENT,
                ATTEMPT,
                NUMBERS,
            )
        ),
    ]
