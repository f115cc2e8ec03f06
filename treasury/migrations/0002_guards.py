"""The database's own opinion: few, short triggers, each attacked with plain SQL in tests/models/test_guards.py."""

from __future__ import annotations

from django.db import migrations

REFERENCES = """
CREATE SEQUENCE treasury_transfer_number;
"""

# restrict_violation (23001) for what is frozen or append-only, check_violation (23514) for what is not allowed.
APPEND_ONLY = """
CREATE FUNCTION treasury_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = '23001';
END $$;
"""

APPEND_ONLY_TABLES = (
    "treasury_auditentry",
    "treasury_auditlink",
    "treasury_auditbatch",
    "treasury_decision",
    "treasury_demand",
    "treasury_lookup",
    "treasury_stoprelease",
)
# Rows that change, by their verbs, and are never taken away.
KEPT_TABLES = ("treasury_transfer", "treasury_attempt", "treasury_stoporder")


def guard(table: str, *, change: str) -> str:
    return f"""
CREATE TRIGGER {table}_no_change BEFORE {change} ON {table}
    FOR EACH ROW EXECUTE FUNCTION treasury_append_only();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION treasury_append_only();
"""


AUDIT_ENTRY = """
CREATE FUNCTION treasury_auditentry_true() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.xid <> pg_current_xact_id() OR NEW.canonical::jsonb ->> 'xid' IS DISTINCT FROM NEW.xid::text THEN
        RAISE EXCEPTION 'audit entry % names another transaction', NEW.id USING ERRCODE = '23514';
    END IF;
    IF NEW.canonical::jsonb ->> 'id' IS DISTINCT FROM NEW.id::text
        OR NEW.canonical::jsonb ->> 'at' IS DISTINCT FROM to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    THEN
        RAISE EXCEPTION 'audit entry % disagrees with its canonical text', NEW.id USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_auditentry_true BEFORE INSERT ON treasury_auditentry
    FOR EACH ROW EXECUTE FUNCTION treasury_auditentry_true();
"""

TRANSFER = """
CREATE FUNCTION treasury_transfer_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'DRAFT' OR NEW.round <> 0 OR NEW.key IS NOT NULL OR NEW.digest IS NOT NULL THEN
            RAISE EXCEPTION 'a transfer begins as a draft' USING ERRCODE = '23514';
        END IF;
    ELSIF NEW.id <> OLD.id OR NEW.reference <> OLD.reference OR NEW.maker_id <> OLD.maker_id OR (OLD.state <> 'DRAFT' AND
        (NEW.connection_id, NEW.source_id, NEW.destination_id, NEW.asset, NEW.amount, NEW.reason,
         NEW.key, NEW.instruction, NEW.digest, NEW.submitted_at, NEW.expires_at,
         NEW.draft_key, NEW.copied_from_id, NEW.created_at,
         CASE WHEN NEW.round = OLD.round THEN NEW.seen_total END, CASE WHEN NEW.round = OLD.round THEN NEW.seen_at END)
        IS DISTINCT FROM
        (OLD.connection_id, OLD.source_id, OLD.destination_id, OLD.asset, OLD.amount, OLD.reason,
         OLD.key, OLD.instruction, OLD.digest, OLD.submitted_at, OLD.expires_at,
         OLD.draft_key, OLD.copied_from_id, OLD.created_at,
         CASE WHEN NEW.round = OLD.round THEN OLD.seen_total END, CASE WHEN NEW.round = OLD.round THEN OLD.seen_at END)) THEN
        RAISE EXCEPTION '% is %: its words are frozen', OLD.reference, OLD.state USING ERRCODE = '23001';
    END IF;
    IF EXISTS (SELECT FROM treasury_account a
        WHERE a.id IN (NEW.source_id, NEW.destination_id) AND a.connection_id <> NEW.connection_id) THEN
        RAISE EXCEPTION '%: its accounts are not of its connection', NEW.reference USING ERRCODE = '23514';
    END IF;
    IF TG_OP = 'INSERT' THEN
        RETURN NEW;
    END IF;

    IF NEW.state = OLD.state THEN
        IF NEW.round <> OLD.round THEN
            RAISE EXCEPTION '%: a round begins with a step', OLD.reference USING ERRCODE = '23001';
        END IF;
        RETURN NEW;
    END IF;

    IF NOT (OLD.state || ' ' || NEW.state = ANY (ARRAY[
        'DRAFT SUBMITTED', 'DRAFT CANCELLED',
        'SUBMITTED APPROVED', 'SUBMITTED REJECTED', 'SUBMITTED CANCELLED', 'SUBMITTED EXPIRED',
        'APPROVED DISPATCHING', 'APPROVED SUBMITTED', 'APPROVED CANCELLED', 'APPROVED EXPIRED',
        'DISPATCHING DISPATCHED', 'DISPATCHING CONFIRMING', 'DISPATCHING SETTLED', 'DISPATCHING FAILED',
        'DISPATCHING APPROVED',
        'CONFIRMING DISPATCHING', 'CONFIRMING CANCELLED', 'CONFIRMING FAILED', 'CONFIRMING EXPIRED',
        'DISPATCHED SETTLED', 'DISPATCHED FAILED'
    ])) THEN
        RAISE EXCEPTION '%: % may not become %', OLD.reference, OLD.state, NEW.state USING ERRCODE = '23514';
    END IF;

    IF NEW.round <> OLD.round + (NEW.state = 'SUBMITTED')::int THEN
        RAISE EXCEPTION '%: wrong round', OLD.reference USING ERRCODE = '23514';
    END IF;

    IF NEW.state = 'SUBMITTED' AND (
        NEW.digest IS DISTINCT FROM encode(sha256(convert_to(NEW.instruction, 'UTF8')), 'hex')
        OR NOT EXISTS (SELECT FROM treasury_demand d WHERE d.transfer_id = NEW.id AND d.round = NEW.round)
    ) THEN
        RAISE EXCEPTION '%: submitted without its digest or its demands', OLD.reference USING ERRCODE = '23514';
    END IF;

    IF OLD.state = 'SUBMITTED' AND NEW.state = 'APPROVED' AND (
        NOT EXISTS (SELECT FROM treasury_demand d WHERE d.transfer_id = NEW.id AND d.round = NEW.round)
        OR EXISTS (
            SELECT FROM treasury_demand d
            WHERE d.transfer_id = NEW.id AND d.round = NEW.round AND d.count > (
                SELECT count(DISTINCT c.by_id) FROM treasury_decision c
                WHERE c.transfer_id = NEW.id AND c.round = NEW.round AND c.verdict = 'approve'
                    AND c.digest = NEW.digest AND d."group" = ANY (c.counts_for)))
    ) THEN
        RAISE EXCEPTION '%: approved without its decisions', OLD.reference USING ERRCODE = '23514';
    END IF;

    IF OLD.state = 'DISPATCHING' AND NEW.state = 'APPROVED' AND EXISTS (
        SELECT FROM treasury_attempt a WHERE a.transfer_id = NEW.id
            AND coalesce(a.outcome, 'none') NOT IN ('refused', 'try_later', 'barred', 'challenge')
    ) THEN
        RAISE EXCEPTION '%: an attempt is not proven unsent', OLD.reference USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_transfer_guard BEFORE INSERT OR UPDATE ON treasury_transfer
    FOR EACH ROW EXECUTE FUNCTION treasury_transfer_guard();
"""

# Deferred to commit, so that the order of the two writes is the verb's own affair. The transaction id is the top
# level one, savepoints included, so "the same transaction" means what it says.
WITNESS = """
CREATE FUNCTION treasury_transfer_witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM treasury_auditentry e
        WHERE e.xid = pg_current_xact_id() AND e.subject = 'transfer:' || NEW.reference AND e.result = 'done'
            AND e.facts ->> 'to' = NEW.state
            AND e.facts ->> 'from' IS NOT DISTINCT FROM CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END
    ) THEN
        RAISE EXCEPTION '%: its state changed and the log does not say so', NEW.reference USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER treasury_transfer_born AFTER INSERT ON treasury_transfer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION treasury_transfer_witness();
CREATE CONSTRAINT TRIGGER treasury_transfer_moved AFTER UPDATE ON treasury_transfer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION treasury_transfer_witness();
"""

DECISION = """
CREATE FUNCTION treasury_decision_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE t treasury_transfer;
BEGIN
    SELECT * INTO t FROM treasury_transfer WHERE id = NEW.transfer_id FOR UPDATE;
    IF t.maker_id = NEW.by_id THEN
        RAISE EXCEPTION '%: its maker is not its checker', t.reference USING ERRCODE = '23514';
    END IF;
    IF t.state <> 'SUBMITTED' OR t.round <> NEW.round THEN
        RAISE EXCEPTION '%: not waiting for this decision', t.reference USING ERRCODE = '23514';
    END IF;
    IF t.digest <> NEW.digest OR t.instruction <> NEW.instruction THEN
        RAISE EXCEPTION '%: decided on other words', t.reference USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_decision_guard BEFORE INSERT ON treasury_decision
    FOR EACH ROW EXECUTE FUNCTION treasury_decision_guard();

CREATE FUNCTION treasury_demand_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE t treasury_transfer;
BEGIN
    SELECT * INTO t FROM treasury_transfer WHERE id = NEW.transfer_id FOR UPDATE;
    IF t.state NOT IN ('DRAFT', 'APPROVED') OR NEW.round <> t.round + 1 THEN
        RAISE EXCEPTION '%: demands are written when a round begins', t.reference USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_demand_guard BEFORE INSERT ON treasury_demand
    FOR EACH ROW EXECUTE FUNCTION treasury_demand_guard();
"""

ATTEMPT = """
CREATE FUNCTION treasury_attempt_guard() RETURNS trigger LANGUAGE plpgsql AS $$
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
        NEW.call_ends_at, NEW.worker) IS DISTINCT FROM (OLD.id, OLD.transfer_id, OLD.number, OLD.kind, OLD.claimed_at,
        OLD.send_before, OLD.call_ends_at, OLD.worker) THEN
        RAISE EXCEPTION 'an attempt''s outcome is written once, the rest never again' USING ERRCODE = '23001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_attempt_guard BEFORE INSERT OR UPDATE ON treasury_attempt
    FOR EACH ROW EXECUTE FUNCTION treasury_attempt_guard();
"""

STOP = """
CREATE FUNCTION treasury_stoporder_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.released_at IS NOT NULL OR (NEW.id, NEW.connection_id, NEW.reason, NEW."by", NEW.since)
        IS DISTINCT FROM (OLD.id, OLD.connection_id, OLD.reason, OLD."by", OLD.since) THEN
        RAISE EXCEPTION 'a stop order stays as it was written' USING ERRCODE = '23001';
    END IF;
    IF NEW.released_at IS NOT NULL
        AND (SELECT count(DISTINCT r.by_id) FROM treasury_stoprelease r WHERE r.stop_order_id = NEW.id) < 2 THEN
        RAISE EXCEPTION 'a stop order ends when two people have released it' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_stoporder_guard BEFORE UPDATE ON treasury_stoporder
    FOR EACH ROW EXECUTE FUNCTION treasury_stoporder_guard();
"""

# PostgreSQL holds NaN to be greater than any number.
AMOUNT = """
ALTER TABLE treasury_transfer ADD CONSTRAINT transfer_amount_is_a_number CHECK (amount <> 'NaN');
"""


class Migration(migrations.Migration):
    dependencies = [("treasury", "0001_initial")]

    operations = [
        migrations.RunSQL(sql, migrations.RunSQL.noop)
        for sql in (
            REFERENCES,
            APPEND_ONLY,
            *(guard(table, change="UPDATE OR DELETE") for table in APPEND_ONLY_TABLES),
            *(guard(table, change="DELETE") for table in KEPT_TABLES),
            AUDIT_ENTRY,
            TRANSFER,
            WITNESS,
            DECISION,
            ATTEMPT,
            STOP,
            AMOUNT,
        )
    ]
