"""Changes under four eyes, resolutions and contradictions, stop orders of every scope, signs of life, notices."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import treasury.models.amount


class Migration(migrations.Migration):
    dependencies = [
        ("treasury", "0003_pgmq"),
    ]

    operations = [
        migrations.AddField(
            model_name="stoporder",
            name="automatic",
            field=models.BooleanField(
                default=False, help_text="By a part of the product, whatever a person is called."
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="fee",
            field=treasury.models.amount.AmountField(
                decimal_places=18,
                help_text="What the venue takes for it, in the same asset; null: it did not say.",
                max_digits=48,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="transfer",
            name="compared",
            field=models.BooleanField(
                default=False, help_text="A Match says how it fits; kept so that a tick finds the rest."
            ),
        ),
        migrations.AddIndex(
            model_name="transfer",
            index=models.Index(fields=["state", "changed_at"], name="transfer_by_state"),
        ),
        migrations.AddIndex(
            model_name="lookup",
            index=models.Index(fields=["at"], name="look_up_by_time"),
        ),
        migrations.AddIndex(
            model_name="transfer",
            index=models.Index(
                condition=models.Q(("compared", False), ("state", "SETTLED")),
                fields=["connection", "-changed_at"],
                name="transfer_not_compared",
            ),
        ),
        migrations.CreateModel(
            name="Attachment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=120)),
                ("media_type", models.CharField(max_length=60)),
                ("size", models.PositiveIntegerField(help_text="Bytes.")),
                ("sha256", models.CharField(max_length=64)),
                ("content", models.BinaryField()),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Change",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=40)),
                ("subject", models.CharField(max_length=200)),
                ("words", models.JSONField()),
                (
                    "digest",
                    models.CharField(
                        help_text="SHA-256 of kind, subject, words and reason, lower-case hex.", max_length=64
                    ),
                ),
                (
                    "sealed",
                    models.TextField(
                        blank=True, default="", help_text="Secrets that belong to it, encrypted; never shown."
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                ("proposed_at", models.DateTimeField()),
                (
                    "ruling",
                    models.CharField(
                        choices=[("applied", "Applied"), ("declined", "Declined"), ("withdrawn", "Withdrawn")],
                        help_text="Null while it waits.",
                        max_length=9,
                        null=True,
                    ),
                ),
                ("decided_at", models.DateTimeField(null=True)),
                ("said", models.CharField(blank=True, default="", help_text="What the decider said.", max_length=500)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Contradiction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("words", models.TextField()),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "moved",
                    models.BooleanField(
                        help_text="What the two people found to be true; null while it is open.", null=True
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="FirstLook",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                (
                    "login",
                    models.CharField(
                        blank=True, default="", help_text="The venue's own id of the login.", max_length=120
                    ),
                ),
                ("may_transfer", models.BooleanField(null=True)),
                ("words", models.JSONField(default=list, help_text="What the key may do, in the connector's words.")),
                (
                    "accounts",
                    models.JSONField(default=list, help_text="[{address, kind, title}] as the venue reports them."),
                ),
                (
                    "problem",
                    models.TextField(blank=True, default="", help_text="Why the venue did not say; empty when it did."),
                ),
                (
                    "answered",
                    models.BooleanField(
                        default=True, help_text="False: somebody asked for another look, nothing more."
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("name", models.CharField(max_length=20, primary_key=True, serialize=False)),
                ("at", models.DateTimeField(help_text="Null: it lives, and has not been able to work yet.", null=True)),
                ("host", models.CharField(max_length=120)),
                (
                    "problem",
                    models.TextField(
                        blank=True, default="", help_text="Why it lives and does not work; empty when it does."
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Home",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("cluster", models.CharField(help_text="PostgreSQL's system identifier.", max_length=40)),
                ("timeline", models.BigIntegerField()),
                (
                    "database",
                    models.BigIntegerField(help_text="The database's own number in its cluster (pg_database.oid)."),
                ),
                ("seen_at", models.DateTimeField()),
                (
                    "anchor",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The last anchor that did not fit, once that was noticed.",
                        max_length=100,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Mark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("asset", models.CharField(max_length=40)),
                ("total", treasury.models.amount.AmountField(decimal_places=18, max_digits=48)),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Match",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "basis",
                    models.CharField(
                        choices=[
                            ("record", "The venue's own record"),
                            ("balances", "Both balance changes"),
                            ("nothing", "Nothing yet"),
                        ],
                        max_length=8,
                    ),
                ),
                ("agrees", models.BooleanField()),
                (
                    "difference",
                    models.TextField(
                        blank=True, default="", help_text="What does not fit, in words; empty when it does."
                    ),
                ),
                ("facts", models.JSONField(default=dict)),
                ("at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-at"],
            },
        ),
        migrations.CreateModel(
            name="Movement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("asset", models.CharField(max_length=40)),
                ("since", models.DateTimeField(help_text="When ``before`` was read.")),
                ("at", models.DateTimeField(help_text="When ``after`` was read.")),
                ("before", treasury.models.amount.AmountField(decimal_places=18, max_digits=48)),
                ("after", treasury.models.amount.AmountField(decimal_places=18, max_digits=48)),
                (
                    "ours",
                    treasury.models.amount.AmountField(
                        decimal_places=18, help_text="What our own transfers brought (positive) or took.", max_digits=48
                    ),
                ),
                (
                    "rest",
                    treasury.models.amount.AmountField(
                        decimal_places=18, help_text="What somebody or something else did; never 0.", max_digits=48
                    ),
                ),
                (
                    "tripped",
                    models.BooleanField(
                        help_text="The account was quiet and the rest beyond tolerance: it was stopped."
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel", models.CharField(choices=[("mail", "E-mail"), ("webhook", "Webhook")], max_length=7)),
                ("to", models.CharField(help_text="An e-mail address, or the webhook's.", max_length=254)),
                (
                    "kind",
                    models.CharField(
                        help_text="noun.verb, as in the log: transfer.submit, stop.order, …", max_length=40
                    ),
                ),
                ("subject", models.CharField(help_text="What it is about, in the log's word.", max_length=200)),
                ("title", models.CharField(max_length=200)),
                ("text", models.TextField()),
                (
                    "once",
                    models.CharField(
                        help_text="The same happening told to the same address is one notice.",
                        max_length=300,
                        unique=True,
                    ),
                ),
                ("written_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                ("tries", models.PositiveIntegerField(default=0)),
                ("sent_at", models.DateTimeField(null=True)),
                (
                    "problem",
                    models.TextField(
                        blank=True, default="", help_text="Why the last try failed; empty when it did not."
                    ),
                ),
                (
                    "refused",
                    models.BooleanField(
                        default=False, help_text="The other side refused this very message; others go before it."
                    ),
                ),
                (
                    "ending",
                    models.CharField(
                        blank=True,
                        choices=[("dropped", "Its reader is gone"), ("given up", "Given up")],
                        default="",
                        help_text="Why it is not sent any more, if so.",
                        max_length=8,
                    ),
                ),
                ("ended_at", models.DateTimeField(help_text="From then on it is not sent any more.", null=True)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Resolution",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("moved", models.BooleanField()),
                (
                    "record",
                    models.CharField(help_text="The venue's record that they name, if any.", max_length=200, null=True),
                ),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Route",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "assets",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40),
                        help_text="Null: not known yet.",
                        null=True,
                        size=None,
                    ),
                ),
                ("read_at", models.DateTimeField(help_text="When the venue named them.", null=True)),
                ("asked_at", models.DateTimeField(help_text="When somebody last wanted to know.", null=True)),
                (
                    "problem",
                    models.TextField(
                        blank=True, default="", help_text="Why the last question failed; empty when it did not."
                    ),
                ),
            ],
        ),
        migrations.RemoveIndex(
            model_name="stoporder",
            name="stop_order_standing",
        ),
        migrations.AddField(
            model_name="connectionhealth",
            name="reported",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="[{address, kind, title}]: the accounts that the venue itself reports.",
            ),
        ),
        migrations.AddField(
            model_name="connectionhealth",
            name="reported_at",
            field=models.DateTimeField(help_text="When it reported them.", null=True),
        ),
        migrations.AddField(
            model_name="stoporder",
            name="account",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="stop_orders",
                to="treasury.account",
            ),
        ),
        migrations.AddField(
            model_name="stoporder",
            name="asset",
            field=models.CharField(
                blank=True, default="", help_text="In capitals: venues write usdt and USDT.", max_length=40
            ),
        ),
        migrations.AddField(
            model_name="stoporder",
            name="scope",
            field=models.CharField(
                choices=[
                    ("everything", "Everything"),
                    ("venue", "Venue"),
                    ("connection", "Connection"),
                    ("asset", "Asset"),
                    ("account", "Account"),
                ],
                default="connection",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="stoporder",
            name="venue",
            field=models.CharField(blank=True, default="", max_length=40),
        ),
        migrations.AlterField(
            model_name="stoporder",
            name="connection",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="stop_orders",
                to="treasury.connection",
            ),
        ),
        migrations.AddField(
            model_name="change",
            name="decided_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="ruled_on",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="change",
            name="proposed_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="proposed", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="attachment",
            name="change",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="attachments", to="treasury.change"
            ),
        ),
        migrations.AddField(
            model_name="stoporder",
            name="release",
            field=models.OneToOneField(
                help_text="The change that ended it.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="released_stop",
                to="treasury.change",
            ),
        ),
        migrations.AddIndex(
            model_name="stoporder",
            index=models.Index(condition=models.Q(("released_at", None)), fields=["since"], name="stop_order_stands"),
        ),
        migrations.AddConstraint(
            model_name="stoporder",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("account", None), ("asset", ""), ("connection", None), ("scope", "everything"), ("venue", "")
                    ),
                    models.Q(
                        ("account", None),
                        ("asset", ""),
                        ("connection", None),
                        ("scope", "venue"),
                        models.Q(("venue", ""), _negated=True),
                    ),
                    models.Q(
                        ("account", None),
                        ("asset", ""),
                        ("connection__isnull", False),
                        ("scope", "connection"),
                        ("venue", ""),
                    ),
                    models.Q(
                        ("account", None),
                        ("connection", None),
                        ("scope", "asset"),
                        ("venue", ""),
                        models.Q(("asset", ""), _negated=True),
                    ),
                    models.Q(
                        ("account__isnull", False),
                        ("asset", ""),
                        ("connection", None),
                        ("scope", "account"),
                        ("venue", ""),
                    ),
                    _connector="OR",
                ),
                name="stop_order_covers_one_thing",
            ),
        ),
        migrations.AddField(
            model_name="contradiction",
            name="attempt",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="contradictions",
                to="treasury.attempt",
            ),
        ),
        migrations.AddField(
            model_name="contradiction",
            name="change",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="closed_contradiction",
                to="treasury.change",
            ),
        ),
        migrations.AddField(
            model_name="contradiction",
            name="look_up",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="contradictions",
                to="treasury.lookup",
            ),
        ),
        migrations.AddField(
            model_name="contradiction",
            name="transfer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="contradictions", to="treasury.transfer"
            ),
        ),
        migrations.AddField(
            model_name="firstlook",
            name="change",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="first_looks", to="treasury.change"
            ),
        ),
        migrations.AddConstraint(
            model_name="home",
            constraint=models.CheckConstraint(condition=models.Q(("id", 1)), name="home_is_one"),
        ),
        migrations.AddField(
            model_name="mark",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="marks", to="treasury.account"
            ),
        ),
        migrations.AddField(
            model_name="match",
            name="transfer",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="match", to="treasury.transfer"
            ),
        ),
        migrations.AddField(
            model_name="movement",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="movements", to="treasury.account"
            ),
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(
                condition=models.Q(("ended_at", None), ("sent_at", None)), fields=["due_at"], name="notice_waiting"
            ),
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(condition=models.Q(("ending", "given up")), fields=["ended_at"], name="notice_given_up"),
        ),
        migrations.AddField(
            model_name="resolution",
            name="change",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="resolution", to="treasury.change"
            ),
        ),
        migrations.AddField(
            model_name="resolution",
            name="transfer",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="resolution", to="treasury.transfer"
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="destination",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="routes_in", to="treasury.account"
            ),
        ),
        migrations.AddField(
            model_name="route",
            name="source",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="routes_out", to="treasury.account"
            ),
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(condition=models.Q(("ruling", None)), fields=["kind"], name="change_waiting"),
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(fields=["subject", "-id"], name="change_by_subject"),
        ),
        migrations.AddConstraint(
            model_name="change",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_at", None), ("decided_by", None), ("ruling", None)),
                    models.Q(("decided_at__isnull", False), ("decided_by__isnull", False), ("ruling__isnull", False)),
                    _connector="OR",
                ),
                name="change_decided_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="change",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ruling", "applied"), _negated=True),
                    models.Q(("decided_by", models.F("proposed_by")), _negated=True),
                    _connector="OR",
                ),
                name="change_applied_by_another",
            ),
        ),
        migrations.AddConstraint(
            model_name="contradiction",
            constraint=models.UniqueConstraint(
                condition=models.Q(("closed_at", None)), fields=("transfer",), name="contradiction_open_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="contradiction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("change", None), ("closed_at", None), ("moved", None)),
                    models.Q(("change__isnull", False), ("closed_at__isnull", False), ("moved__isnull", False)),
                    _connector="OR",
                ),
                name="contradiction_closed_by_a_change",
            ),
        ),
        migrations.AddConstraint(
            model_name="mark",
            constraint=models.UniqueConstraint(fields=("account", "asset"), name="mark_once_per_asset"),
        ),
        migrations.AddIndex(
            model_name="match",
            index=models.Index(condition=models.Q(("agrees", False)), fields=["-at"], name="match_not_agreeing"),
        ),
        migrations.AddIndex(
            model_name="match",
            index=models.Index(fields=["agrees", "basis"], name="match_counts"),
        ),
        migrations.AddIndex(
            model_name="movement",
            index=models.Index(fields=["account", "asset", "-at"], name="movement_by_account"),
        ),
        migrations.AddConstraint(
            model_name="route",
            constraint=models.UniqueConstraint(fields=("source", "destination"), name="route_once"),
        ),
    ]
