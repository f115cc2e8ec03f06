"""The pages' addresses. A step of a transfer's life is the verb of that step."""

from __future__ import annotations

from django.urls import path, register_converter

from treasury.web import approvals, audit, connections, controls, drafts, health, overview, session, steps, transfers


class Reference:
    """Ours, for people: TR-000123."""

    regex = "TR-[0-9]{6,12}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Reference, "reference")

urlpatterns = [
    path("", overview.show, name="overview"),
    path("sign-in/", session.sign_in, name="sign_in"),
    path("sign-out/", session.sign_out, name="sign_out"),
    path("transfers/", transfers.list_, name="transfers"),
    path("transfers/new/", drafts.new, name="new_transfer"),
    path("transfers/<reference:reference>/", transfers.show, name="transfer"),
    path("transfers/<reference:reference>/live/", transfers.live, name="transfer_live"),
    path("transfers/<reference:reference>/edit/", drafts.edit, name="edit"),
    path("transfers/<reference:reference>/submit/", steps.submit, name="submit"),
    path("transfers/<reference:reference>/approve/", steps.approve, name="approve"),
    path("transfers/<reference:reference>/reject/", steps.reject, name="reject"),
    path("transfers/<reference:reference>/cancel/", steps.cancel, name="cancel"),
    path("transfers/<reference:reference>/draft-again/", steps.draft_again, name="draft_again"),
    path("approvals/", approvals.show, name="approvals"),
    path("audit/", audit.show, name="audit"),
    path("connections/", connections.show, name="connections"),
    path("connections/<int:connection_id>/live/", connections.live, name="connection_live"),
    path("connections/<int:connection_id>/test/", connections.test, name="test"),
    path("connections/<int:connection_id>/stop/", controls.stop, name="stop"),
    path("connections/<int:connection_id>/refresh/", controls.refresh, name="refresh"),
    path("stops/<int:stop_id>/release/", controls.release, name="release"),
    path("healthz/", health.show, name="healthz"),
]
