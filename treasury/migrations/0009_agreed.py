"""The nouns of what the house agrees on: policies, memberships, withdrawals, and the change behind each governed row."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("treasury", "0008_hand_guards"),
    ]

    operations = [
        migrations.CreateModel(
            name="Assessment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("round", models.PositiveSmallIntegerField()),
                ("at", models.DateTimeField()),
                (
                    "circumstances",
                    models.TextField(help_text="Canonical JSON: everything that the rules were asked about."),
                ),
                (
                    "answer",
                    models.TextField(
                        help_text="Canonical JSON: the rule that matched, why the others did not, the demands."
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="HouseSetting",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=40)),
                ("value", models.JSONField()),
                ("at", models.DateTimeField()),
            ],
            options={
                "ordering": ["name", "-id"],
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "group",
                    models.CharField(
                        help_text="A role (treasury.controls.roles) or a group of approvers.", max_length=150
                    ),
                ),
                ("at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["user", "group", "-id"],
            },
        ),
        migrations.CreateModel(
            name="Policy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(help_text="1, 2, 3 …", unique=True)),
                ("text", models.TextField()),
                ("digest", models.CharField(help_text="SHA-256 of the text, lower-case hex.", max_length=64)),
                ("at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "policies",
                "ordering": ["-number"],
            },
        ),
        migrations.CreateModel(
            name="Withdrawal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("reason", models.CharField(blank=True, default="", max_length=500)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="change",
            name="change_decided_by_somebody",
        ),
        migrations.RemoveConstraint(
            model_name="decision",
            name="decision_once_per_person_and_round",
        ),
        migrations.AddField(
            model_name="account",
            name="change",
            field=models.ForeignKey(
                help_text="What agreed on it as it stands.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="treasury.change",
            ),
        ),
        migrations.AddField(
            model_name="change",
            name="applied_in",
            field=models.BigIntegerField(
                help_text="The database transaction that applied it, written by a trigger: it governs in no other.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="change",
            name="decided_factor",
            field=models.CharField(blank=True, default="", help_text="As Decision.factor.", max_length=40),
        ),
        migrations.AddField(
            model_name="change",
            name="proposed_factor",
            field=models.CharField(blank=True, default="", help_text="As Decision.factor.", max_length=40),
        ),
        migrations.AddField(
            model_name="connection",
            name="change",
            field=models.ForeignKey(
                help_text="What agreed on it as it stands.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="treasury.change",
            ),
        ),
        migrations.AddField(
            model_name="connection",
            name="credentials_at",
            field=models.DateTimeField(help_text="Since when these credentials are in use.", null=True),
        ),
        migrations.AddField(
            model_name="connection",
            name="fingerprint",
            field=models.CharField(
                default="",
                help_text="Tells one set of credentials from another, and nothing else of them.",
                max_length=40,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="change",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="treasury.change"
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="person",
            field=models.CharField(
                default="",
                help_text="Equal texts are one natural person, who counts once; see treasury.controls.people.",
                max_length=254,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="provider_subject",
            field=models.CharField(
                blank=True, default="", help_text="The identity provider's own id of them; empty: none.", max_length=254
            ),
        ),
        migrations.AlterField(
            model_name="change",
            name="proposed_by",
            field=models.ForeignKey(
                help_text="Null only where nobody was there yet: the first set-up, and what an upgrade found.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="proposed",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="change",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_at", None), ("decided_by", None), ("ruling", None)),
                    models.Q(("decided_at__isnull", False), ("decided_by__isnull", False), ("ruling__isnull", False)),
                    models.Q(
                        ("decided_by", None),
                        ("kind__startswith", "house."),
                        ("proposed_by", None),
                        ("ruling", "applied"),
                    ),
                    _connector="OR",
                ),
                name="change_decided_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="change",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("proposed_by__isnull", False), ("kind__in", ["house.bootstrap", "house.adopt"]), _connector="OR"
                ),
                name="change_proposed_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="change",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind__in", ["house.bootstrap", "house.adopt"])),
                fields=("kind",),
                name="change_first_only_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(
                condition=models.Q(("provider_subject", ""), _negated=True),
                fields=("provider_subject",),
                name="user_once_per_provider_subject",
            ),
        ),
        migrations.AddField(
            model_name="assessment",
            name="transfer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="assessments", to="treasury.transfer"
            ),
        ),
        migrations.AddField(
            model_name="housesetting",
            name="change",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="house_setting", to="treasury.change"
            ),
        ),
        migrations.AddField(
            model_name="membership",
            name="change",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="treasury.change"
            ),
        ),
        migrations.AddField(
            model_name="membership",
            name="ended_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="treasury.change"
            ),
        ),
        migrations.AddField(
            model_name="membership",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="memberships", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="policy",
            name="change",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="policy", to="treasury.change"
            ),
        ),
        migrations.AddField(
            model_name="assessment",
            name="policy",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="assessments", to="treasury.policy"
            ),
        ),
        migrations.AddField(
            model_name="withdrawal",
            name="decision",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="withdrawal", to="treasury.decision"
            ),
        ),
        migrations.AddIndex(
            model_name="housesetting",
            index=models.Index(fields=["name", "-id"], name="house_setting_newest"),
        ),
        migrations.AddIndex(
            model_name="membership",
            index=models.Index(condition=models.Q(("ended_at", None)), fields=["group"], name="membership_stands"),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at", None)), fields=("user", "group"), name="membership_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at", None), ("ended_by", None)),
                    models.Q(("ended_at__isnull", False), ("ended_by__isnull", False)),
                    _connector="OR",
                ),
                name="membership_ended_by_a_change",
            ),
        ),
        migrations.AddConstraint(
            model_name="assessment",
            constraint=models.UniqueConstraint(fields=("transfer", "round"), name="assessment_once_per_round"),
        ),
    ]
