"""The default broker's queues live in the same database: pgmq, as plain SQL from its own package."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from pgmq.install import get_embedded_install_sql


def install(apps: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('pgmq')")
        if cursor.fetchone()[0] is None:
            cursor.execute(get_embedded_install_sql())


class Migration(migrations.Migration):
    dependencies = [("treasury", "0002_guards")]

    operations = [migrations.RunPython(install, migrations.RunPython.noop)]
