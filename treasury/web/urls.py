"""The pages' addresses. A step of a transfer's life is the verb of that step."""

from __future__ import annotations

from django.urls import path, register_converter

from treasury.web import (
    approvals,
    audit,
    balances,
    balances_export,
    bands,
    bands_import,
    batch,
    by_hand,
    changes,
    connecting,
    connections,
    controls,
    credentials,
    drafts,
    health,
    house,
    house_settings,
    overview,
    pairs,
    people,
    people_steps,
    plans,
    policy,
    prices,
    rebalancing,
    reconciliation,
    refreshing,
    replay,
    reports,
    resolving,
    session,
    steps,
    stops,
    transfers,
    what_if,
)


class Reference:
    """Ours, for people: TR-000123."""

    regex = "TR-[0-9]{6,12}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class PlanReference(Reference):
    """Ours, for people: PL-000012."""

    regex = "PL-[0-9]{6,12}"


register_converter(Reference, "reference")
register_converter(PlanReference, "plan")

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
    path("transfers/<reference:reference>/withdraw/", steps.withdraw, name="withdraw"),
    path("transfers/<reference:reference>/cancel/", steps.cancel, name="cancel"),
    path("transfers/<reference:reference>/draft-again/", steps.draft_again, name="draft_again"),
    path("transfers/<reference:reference>/by-hand/", by_hand.propose, name="say_done"),
    path("transfers/<reference:reference>/resolve/", resolving.propose, name="resolve"),
    path(
        "transfers/<reference:reference>/contradictions/<int:contradiction_id>/close/",
        resolving.propose_close,
        name="close_contradiction",
    ),
    path("transfers/<reference:reference>/changes/<int:change_id>/confirm/", resolving.step, {"step": "confirm"}),
    path("transfers/<reference:reference>/changes/<int:change_id>/decline/", resolving.step, {"step": "decline"}),
    path("transfers/<reference:reference>/changes/<int:change_id>/withdraw/", resolving.step, {"step": "withdraw"}),
    path("changes/", changes.show, name="changes"),
    path("changes/<int:change_id>/confirm/", changes.step, {"step": "confirm"}),
    path("changes/<int:change_id>/decline/", changes.step, {"step": "decline"}),
    path("changes/<int:change_id>/withdraw/", changes.step, {"step": "withdraw"}),
    path("changes/<int:change_id>/files/<int:file_id>/", changes.evidence, name="evidence"),
    path("approvals/", approvals.show, name="approvals"),
    path("approvals/plans/<plan:reference>/", batch.decide, name="decide_plan"),
    path("rebalancing/", rebalancing.show, name="rebalancing"),
    path("rebalancing/plan/", rebalancing.compute, name="compute_plan"),
    path("rebalancing/read/", rebalancing.read, name="read_balances"),
    path("rebalancing/what-if/", what_if.show, name="what_if"),
    path("plans/", plans.list_, name="plans"),
    path("plans/<plan:reference>/", plans.show, name="plan"),
    path("plans/<plan:reference>/draft/", plans.draft, name="draft_lines"),
    path("plans/<plan:reference>/submit/", plans.submit, name="submit_lines"),
    path("plans/<plan:reference>/inputs/<int:group_id>/", plans.inputs, name="plan_inputs"),
    path("bands/", bands.show, name="bands"),
    path("bands/edit/", bands.edit, name="edit_bands"),
    path("bands/import/", bands_import.show, name="import_bands"),
    path("bands/export/", bands.export, name="export_bands"),
    path("bands/changes/<int:change_id>/", bands.proposed, name="bands_change"),
    path("balances/", balances.show, name="balances"),
    path("balances/changes/", balances.changes, name="balance_changes"),
    path("balances/export/", balances_export.export, name="balances_export"),
    path("reconciliation/", reconciliation.show, name="reconciliation"),
    path("reconciliation/sign-off/", reconciliation.sign, name="sign_off"),
    path("audit/", audit.show, name="audit"),
    path("connections/", connections.show, name="connections"),
    path("connections/new/", connecting.new, name="connect"),
    path("connections/<int:connection_id>/credentials/", credentials.replace, name="replace_credentials"),
    path("connections/<int:connection_id>/accounts/", connecting.accounts, name="set_up"),
    path("connections/<int:connection_id>/balances/", by_hand.state, name="state_balance"),
    path("connections/proposals/", connecting.live, name="proposals_live"),
    path("connections/proposals/<int:change_id>/look/", connecting.look_again, name="look_again"),
    path("connections/<int:connection_id>/live/", connections.live, name="connection_live"),
    path("connections/<int:connection_id>/test/", connections.test, name="test"),
    path("connections/<int:connection_id>/stop/", controls.stop, name="stop"),
    path("connections/<int:connection_id>/refresh/", controls.refresh, name="refresh"),
    path("refresh/", refreshing.refresh_all, name="refresh_all"),
    path("prices/", prices.show, name="prices"),
    path("prices/enter/", prices.enter, name="enter_price"),
    path("prices/import/", prices.import_, name="import_prices"),
    path("prices/history/", prices.history, name="price_history"),
    path("prices/export/", prices.export, name="export_prices"),
    path("people/", people.show, name="people"),
    path("people/conflicts/", people.conflict_report, name="conflicts"),
    path("people/new/", people_steps.enrol, name="enrol"),
    path("people/<int:user_id>/", people.person, name="person"),
    path("people/<int:user_id>/roles/", people_steps.roles, name="change_roles"),
    path("people/<int:user_id>/details/", people_steps.change_details, name="change_details"),
    path("people/<int:user_id>/reopen/", people_steps.reopen, name="reopen"),
    path("people/<int:user_id>/reset/", people_steps.reset, name="reset_sign_in"),
    path("people/<int:user_id>/deactivate/", people_steps.deactivate, name="deactivate"),
    path("people/<int:user_id>/sign-out/", people_steps.sign_out, name="sign_out_person"),
    path("stops/", stops.show, name="stops"),
    path("stops/new/", stops.order, name="order_stop"),
    path("stops/<int:stop_id>/release/", stops.release, name="release"),
    path("stops/changes/<int:change_id>/confirm/", stops.step, {"step": "confirm"}),
    path("stops/changes/<int:change_id>/decline/", stops.step, {"step": "decline"}),
    path("stops/changes/<int:change_id>/withdraw/", stops.step, {"step": "withdraw"}),
    path("policy/", policy.show, name="policy"),
    path("policy/edit/", policy.edit, name="edit_policy"),
    path("policy/propose/", policy.propose, name="propose_policy"),
    path("policy/changes/<int:change_id>/", policy.proposed, name="policy_change"),
    path("policy/versions/<int:number>/", policy.version, name="policy_version"),
    path("policy/versions/<int:number>/json/", policy.download, name="policy_json"),
    path("settings/", house_settings.show, name="settings"),
    path("settings/<slug:name>/", house_settings.propose, name="propose_setting"),
    path("transfers/<reference:reference>/why/", replay.show, name="why"),
    path("people/pairs/", pairs.show, name="pairs"),
    path("house/", house.show, name="house"),
    path("healthz/", health.show, name="healthz"),
    path("reports/csp/", reports.csp, name="csp_reports"),
]
