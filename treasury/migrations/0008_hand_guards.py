"""The database's opinion on what people did by hand, on accounts that stay where they are, and on bands agreed once."""

from __future__ import annotations

from django.db import migrations, models

# Once somebody was asked to move it, it ends by the word of two people, said of it or in a resolution; the maker is
# not the one who confirms. Nothing else makes it settled, and nothing at all cancels it or lets it expire.
BY_HAND = """
CREATE FUNCTION treasury_transfer_by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    word text := CASE WHEN NEW.state IN ('DISPATCHING', 'DISPATCHED', 'SETTLED') THEN 'true'
        WHEN NEW.state = 'FAILED' THEN 'false' END;
BEGIN
    IF NOT EXISTS (SELECT FROM treasury_connection c WHERE c.id = NEW.connection_id AND c.by_hand)
        OR (word IS DISTINCT FROM 'true' AND NOT EXISTS (
            SELECT FROM treasury_attempt a WHERE a.transfer_id = NEW.id AND a.outcome = 'challenge')) THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (
        SELECT FROM treasury_change c WHERE c.kind = 'transfer.confirm' AND c.ruling = 'applied'
            AND c.subject = 'transfer:' || NEW.reference AND c.words ->> 'done' = word
            AND c.decided_by_id NOT IN (c.proposed_by_id, NEW.maker_id))
        AND NOT EXISTS (
            SELECT FROM treasury_resolution r WHERE r.transfer_id = NEW.id AND r.moved::text = word) THEN
        RAISE EXCEPTION '%: two people say what was done by hand', NEW.reference USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER treasury_transfer_by_hand BEFORE UPDATE ON treasury_transfer
    FOR EACH ROW WHEN (OLD.state IN ('CONFIRMING', 'DISPATCHING', 'DISPATCHED') AND OLD.state <> NEW.state
        AND NEW.state <> 'CONFIRMING')
    EXECUTE FUNCTION treasury_transfer_by_hand();
"""

# Two connections may be joined by hand alone, so no account changes sides; and what was approved names an address.
ACCOUNT = """
CREATE FUNCTION treasury_account_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'account % keeps its connection and its address', OLD.id USING ERRCODE = '23001';
END $$;
CREATE TRIGGER treasury_account_guard BEFORE UPDATE ON treasury_account
    FOR EACH ROW WHEN (OLD.connection_id <> NEW.connection_id OR OLD.address <> NEW.address)
    EXECUTE FUNCTION treasury_account_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("treasury", "0007_plan_guards")]

    operations = [
        migrations.AddConstraint(
            model_name="band",
            constraint=models.UniqueConstraint(fields=("change", "account", "asset"), name="band_once_per_change"),
        ),
        *(migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in (BY_HAND, ACCOUNT)),
    ]
