"""What the application's own role of the database must not be able to get around."""

from __future__ import annotations

import importlib

from django.db import migrations

doubt = importlib.import_module("treasury.migrations.0005_doubt_guards")
plans = importlib.import_module("treasury.migrations.0007_plan_guards")

# A session's own temporary tables are found before all others, so one that is called treasury_change could tell a
# guard whatever it likes. With the path fixed they come last, and a path that the session sets counts for nothing.
FIXED_PATHS = """
DO $$
DECLARE f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
        AND p.proname LIKE 'treasury\\_%' LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f, current_schema());
    END LOOP;
END $$;
"""

APPLIED = "c.ruling = 'applied'"
APPLIED_NOW = "c.ruling = 'applied' AND c.applied_in = pg_current_xact_id()::text::bigint"


def of_this_transaction(text: str) -> str:
    """The guard as before, but that an agreement is carried out in the transaction that applies it, or never."""
    text = text.split("CREATE TRIGGER")[0].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    assert text.count(APPLIED) == 1
    return text.replace(APPLIED, APPLIED_NOW)


# Whoever declares a queue asks for it to be created. Where it exists, that needs no right to create anything.
QUEUE = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_proc p WHERE p.oid = 'pgmq.create(text)'::regprocedure
        AND pg_has_role(current_user, p.proowner, 'MEMBER')) THEN
        CREATE OR REPLACE FUNCTION pgmq.create(queue_name text) RETURNS void LANGUAGE plpgsql AS $f$
        BEGIN
            IF NOT EXISTS (SELECT FROM pgmq.meta m WHERE m.queue_name = $1) THEN
                PERFORM pgmq.create_non_partitioned($1);
            END IF;
        END $f$;
    END IF;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("treasury", "0010_agreed_guards")]

    operations = [
        migrations.RunSQL(sql, migrations.RunSQL.noop)
        for sql in (of_this_transaction(doubt.STOP), of_this_transaction(plans.BAND), FIXED_PATHS, QUEUE)
    ]
