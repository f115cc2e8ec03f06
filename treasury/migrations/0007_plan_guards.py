"""The database's opinion on bands, snapshots, plans, the order of transfers, and what people move by hand."""

from __future__ import annotations

import importlib

from django.db import migrations

guards = importlib.import_module("treasury.migrations.0002_guards")
guard = guards.guard

REFERENCES = """
CREATE SEQUENCE treasury_plan_number;
"""

APPEND_ONLY_TABLES = (
    "treasury_band",
    "treasury_price",
    "treasury_plangroup",
    "treasury_planline",
    "treasury_predecessor",
)

# Thinned by age, and never changed: a young reading is the proof of what was held.
SNAPSHOT = """
CREATE TRIGGER treasury_snapshot_no_change BEFORE UPDATE ON treasury_snapshot
    FOR EACH ROW EXECUTE FUNCTION treasury_append_only();
CREATE TRIGGER treasury_snapshot_no_truncate BEFORE TRUNCATE ON treasury_snapshot
    FOR EACH STATEMENT EXECUTE FUNCTION treasury_append_only();
CREATE FUNCTION treasury_snapshot_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.at > clock_timestamp() - interval '1 day' THEN
        RAISE EXCEPTION 'a snapshot is kept for a day at least' USING ERRCODE = '23001';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER treasury_snapshot_kept BEFORE DELETE ON treasury_snapshot
    FOR EACH ROW EXECUTE FUNCTION treasury_snapshot_kept();
"""

# A band is what two people agreed on, to the last digit.
BAND = """
CREATE FUNCTION treasury_band_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM treasury_change c WHERE c.id = NEW.change_id AND c.kind = 'bands.set' AND c.ruling = 'applied'
            AND c.proposed_by_id <> c.decided_by_id
            AND c.words -> 'bands' @> jsonb_build_array(jsonb_build_object(
                'account', NEW.account_id, 'asset', NEW.asset, 'removed', NEW.removed, 'unit', NEW.unit,
                'minimum', trim_scale(NEW.minimum)::text, 'target', trim_scale(NEW.target)::text,
                'maximum', trim_scale(NEW.maximum)::text, 'floor', trim_scale(NEW.floor)::text,
                'smallest', trim_scale(NEW.smallest)::text, 'largest', trim_scale(NEW.largest)::text,
                'direction', NEW.direction))) THEN
        RAISE EXCEPTION 'a band is what two people agreed on' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_band_guard BEFORE INSERT ON treasury_band
    FOR EACH ROW EXECUTE FUNCTION treasury_band_guard();
"""

PLAN = """
CREATE FUNCTION treasury_plan_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('ready', 'failed') OR (NEW.id, NEW.reference, NEW.origin, NEW.asked_by_id, NEW.asked_at,
        NEW.connection_id, NEW.asset, NEW.overrides) IS DISTINCT FROM (OLD.id, OLD.reference, OLD.origin,
        OLD.asked_by_id, OLD.asked_at, OLD.connection_id, OLD.asset, OLD.overrides) THEN
        RAISE EXCEPTION 'plan % stays as it was computed', OLD.reference USING ERRCODE = '23001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_plan_guard BEFORE UPDATE ON treasury_plan
    FOR EACH ROW EXECUTE FUNCTION treasury_plan_guard();

CREATE FUNCTION treasury_plan_part_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE plan bigint;
BEGIN
    IF TG_TABLE_NAME = 'treasury_plangroup' THEN
        plan := NEW.plan_id;
        IF NEW.digest <> encode(sha256(convert_to(NEW.inputs, 'UTF8')), 'hex') THEN
            RAISE EXCEPTION 'a part of a plan has the digest of its inputs' USING ERRCODE = '23514';
        END IF;
    ELSE
        SELECT g.plan_id INTO plan FROM treasury_plangroup g WHERE g.id = NEW.group_id;
    END IF;
    IF NOT EXISTS (SELECT FROM treasury_plan p WHERE p.id = plan AND p.state = 'computing') THEN
        RAISE EXCEPTION 'a plan is written while it is computed' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_plangroup_guard BEFORE INSERT ON treasury_plangroup
    FOR EACH ROW EXECUTE FUNCTION treasury_plan_part_guard();
CREATE TRIGGER treasury_planline_guard BEFORE INSERT ON treasury_planline
    FOR EACH ROW EXECUTE FUNCTION treasury_plan_part_guard();
"""

# What must settle first is written with the draft, and nothing is sent before it has.
ORDER = """
CREATE FUNCTION treasury_predecessor_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM treasury_transfer t WHERE t.id = NEW.transfer_id AND t.state = 'DRAFT') THEN
        RAISE EXCEPTION 'what comes first is said while it is a draft' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_predecessor_guard BEFORE INSERT ON treasury_predecessor
    FOR EACH ROW EXECUTE FUNCTION treasury_predecessor_guard();

CREATE FUNCTION treasury_transfer_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM treasury_predecessor p JOIN treasury_transfer f ON f.id = p.first_id
        WHERE p.transfer_id = NEW.id AND f.state <> 'SETTLED') THEN
        RAISE EXCEPTION '%: what comes before it has not settled', NEW.reference USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_transfer_order BEFORE UPDATE ON treasury_transfer
    FOR EACH ROW WHEN (OLD.state = 'APPROVED' AND NEW.state = 'DISPATCHING')
    EXECUTE FUNCTION treasury_transfer_order();
"""

# As before, and two differences: the line of a plan stays, and what people move by hand may join two connections.
OF_ITS_CONNECTION = "a.id IN (NEW.source_id, NEW.destination_id) AND a.connection_id <> NEW.connection_id)"
OR_BY_HAND = """a.id IN (NEW.source_id, NEW.destination_id) AND a.connection_id <> NEW.connection_id)
        AND NOT EXISTS (SELECT FROM treasury_connection c WHERE c.id = NEW.connection_id AND c.by_hand)"""


def transfer_guard() -> str:
    text = guards.TRANSFER.split("CREATE TRIGGER")[0]
    for old, new in (
        ("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"),
        (OF_ITS_CONNECTION, OR_BY_HAND),
        ("NEW.copied_from_id, NEW.created_at", "NEW.copied_from_id, NEW.planned_id, NEW.created_at"),
        ("OLD.copied_from_id, OLD.created_at", "OLD.copied_from_id, OLD.planned_id, OLD.created_at"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


# The repeat of what people do by hand: two of them have said that it is done. Whether it is by hand never changes.
BY_HAND = """
CREATE FUNCTION treasury_attempt_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE t treasury_transfer;
BEGIN
    SELECT * INTO t FROM treasury_transfer WHERE id = NEW.transfer_id;
    IF EXISTS (SELECT FROM treasury_connection c WHERE c.id = t.connection_id AND c.by_hand) AND NOT EXISTS (
        SELECT FROM treasury_change c WHERE c.kind = 'transfer.confirm' AND c.ruling = 'applied'
            AND c.subject = 'transfer:' || t.reference AND c.words ->> 'done' = 'true'
            AND c.decided_by_id NOT IN (c.proposed_by_id, t.maker_id)) THEN
        RAISE EXCEPTION '%: two people say that it was done by hand', t.reference USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_attempt_by_hand BEFORE INSERT ON treasury_attempt
    FOR EACH ROW WHEN (NEW.kind = 'repeat') EXECUTE FUNCTION treasury_attempt_by_hand();

CREATE FUNCTION treasury_connection_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a connection stays by hand, or not' USING ERRCODE = '23001';
END $$;
CREATE TRIGGER treasury_connection_by_hand BEFORE UPDATE ON treasury_connection
    FOR EACH ROW WHEN (OLD.by_hand <> NEW.by_hand OR OLD.venue <> NEW.venue)
    EXECUTE FUNCTION treasury_connection_by_hand();
"""

NUMBERS = """
ALTER TABLE treasury_movement DROP CONSTRAINT movement_adds_up;
ALTER TABLE treasury_movement ADD CONSTRAINT movement_adds_up
    CHECK (after - before = ours + fees + rest AND rest <> 0 AND fees <= 0);
ALTER TABLE treasury_planline ADD CONSTRAINT plan_line_is_a_number CHECK (amount <> 'NaN');
ALTER TABLE treasury_price ADD CONSTRAINT price_is_a_number CHECK (price <> 'NaN');
ALTER TABLE treasury_band ADD CONSTRAINT band_of_numbers CHECK (
    minimum <> 'NaN' AND target <> 'NaN' AND floor <> 'NaN' AND coalesce(maximum, 0) <> 'NaN'
    AND coalesce(smallest, 0) <> 'NaN' AND coalesce(largest, 0) <> 'NaN');
"""


class Migration(migrations.Migration):
    dependencies = [("treasury", "0006_holdings_and_plans")]

    operations = [
        migrations.RunSQL(sql, migrations.RunSQL.noop)
        for sql in (
            REFERENCES,
            *(guard(table, change="UPDATE OR DELETE") for table in APPEND_ONLY_TABLES),
            guard("treasury_plan", change="DELETE"),
            SNAPSHOT,
            BAND,
            PLAN,
            ORDER,
            transfer_guard(),
            BY_HAND,
            NUMBERS,
        )
    ]
