"""What the documentation says about each field of YouHodler's requests and answers: form, and page.

Nobody else has written a client for this API, so this table is the judge of our connector's requests and of our
simulator's answers. Pages are those of https://business-api-docs.youhodler.com/docs.
"""

import re
from collections.abc import Mapping

Fields = Mapping[str, tuple[str, str]]

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

FORMS: Mapping[str, str] = {
    "uuid": UUID,
    "account": rf"(client|master)-accounts/{UUID}",
    "enterprise": rf"enterprises/{UUID}",
    "scope": rf"(enterprises|clients)/{UUID}",
    "ref": r"[a-z]+(-[a-z]+)*/[^/]+",
    "decimal": r"-?[0-9]+(\.[0-9]+)?",
    "moment": r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
    "word": r"[a-z]+([_-][a-z]+)*",
    "text": r"(?s).+",
    "printable": r"[!-~]+",
    "bearer": r"Bearer [!-~]+",
    "json": r"application/json",
}

CREATE = "api/reference/internal-transfers/internal-transfers-create"
OPERATIONS = "concepts/operations"
TOKENS = "api/reference/auth/oauth-token"
MASTERS = "api/reference/master-accounts/master-accounts-list"
CLIENTS = "reference/clients-and-accounts"
BALANCES = "api/reference/balances/master-accounts-balances"
ERRORS = "concepts/errors"
IDEMPOTENCY = "concepts/idempotency-and-concurrency"
WORKFLOW = "workflows/live-operations-and-controls"

# table -> field -> (form, page). A form is one of FORMS, a table's name, "null", "number", "yes" (anything), a list
# of a table ("[table]"), or several of them with "|" between; a "?" at its end lets the field be missing.
TABLES: Mapping[str, Fields] = {
    "amount": {"currency": ("text", CREATE), "value": ("decimal", CREATE)},
    "transfer": {"amount": ("amount", CREATE), "source_ref": ("account", CREATE), "target_ref": ("account", CREATE)},
    "transfer headers": {
        "authorization": ("bearer", WORKFLOW),
        "idempotency-key": ("text", IDEMPOTENCY),
        "content-type": ("json", WORKFLOW),
    },
    "token request": {
        "client_id": ("printable", TOKENS),
        "client_secret": ("printable", TOKENS),
        "grant_type": ("word", TOKENS),
    },
    "token": {
        "access_token": ("printable", TOKENS),
        "expires_in": ("number", TOKENS),
        "issued_token_type": ("printable", TOKENS),
        "token_type": ("text", TOKENS),
    },
    "operation": {
        "id": ("uuid", CREATE),
        "family": ("word", OPERATIONS),
        "status": ("word", OPERATIONS),
        "account_ref": ("account", CREATE),
        "principal_amount": ("amount", CREATE),
        "fee_summary": ("fee summary|null", CREATE),
        "family_params": ("params", CREATE),
        "fill_rate": ("decimal|null", CREATE),
        "approval_ref": ("ref|null", OPERATIONS),
        "failure_reason": ("text|null", OPERATIONS),
        "settled_at": ("moment|null", CREATE),
        "subject_attribution": ("attribution", CREATE),
        "created_at": ("moment", CREATE),
        "updated_at": ("moment", CREATE),
    },
    "params": {"source_ref": ("account", CREATE), "target_ref": ("account", CREATE)},
    "fee summary": {"components": ("[fee]", CREATE), "total": ("amount", CREATE)},
    "fee": {"amount": ("amount", CREATE), "kind": ("word", CREATE)},
    "attribution": {
        "actor": ("null", CREATE),
        "approved_by": ("null", CREATE),
        "authenticated_principal": ("principal", CREATE),
        "enterprise_binding": ("binding", CREATE),
        "federation": ("null", CREATE),
        "identity_source": ("word", CREATE),
        "initiated_by": ("null", CREATE),
        "subject": ("principal", CREATE),
    },
    "principal": {"id": ("uuid", CREATE), "kind": ("word", CREATE), "tenant_ref": ("enterprise", CREATE)},
    "binding": {"tenant_type": ("word", CREATE), "topology_ref": ("enterprise", CREATE)},
    "master accounts": {"items": ("[master account]", MASTERS), "next_page_token": ("text|null", MASTERS)},
    "client accounts": {"items": ("[client account]", CLIENTS), "next_page_token": ("text|null", CLIENTS)},
    "master account": {
        "id": ("uuid", MASTERS),
        "resource": ("word", MASTERS),
        "scope_ref": ("enterprise", MASTERS),
        "tenant_type": ("word", MASTERS),
        "display_name": ("text", MASTERS),
        "status": ("word", MASTERS),
        "etag": ("text", MASTERS),
        "created_at": ("moment", MASTERS),
        "updated_at": ("moment", MASTERS),
    },
    "client account": {
        "id": ("uuid", CLIENTS),
        "resource": ("word", CLIENTS),
        "scope_ref": ("scope", CLIENTS),
        "display_name": ("text", CLIENTS),
        "status": ("word", CLIENTS),
        "etag": ("text", CLIENTS),
        "created_at": ("moment", CLIENTS),
        "updated_at": ("moment", CLIENTS),
    },
    "balances": {"items": ("[balance]", BALANCES)},
    "balance": {
        "asset": ("text", BALANCES),
        "available": ("decimal", BALANCES),
        "held": ("decimal", BALANCES),
        "total": ("decimal", BALANCES),
        "overdraft_limit": ("decimal|null", BALANCES),
        "overdraft_used": ("decimal|null", BALANCES),
        "overdraft_headroom": ("decimal|null", BALANCES),
        "owner_ref": ("account|uuid", BALANCES),
        "owner_subtype": ("word", BALANCES),
        "updated_at": ("moment", BALANCES),
    },
    "error": {"code": ("word", ERRORS), "message": ("text", ERRORS), "details": ("yes?", ERRORS)},
}


def problems(table: str, found: object, at: str = "") -> list[str]:
    """What about this JSON object is not as the documentation says, field by field."""
    if not isinstance(found, Mapping):
        return [f"{at or table} is not an object"]
    fields = TABLES[table]
    wrong = [f"{at}{name} is not documented" for name in found if name not in fields]
    for name, (form, page) in fields.items():
        if name not in found:
            wrong += [] if form.endswith("?") else [f"{at}{name} is missing ({page})"]
        elif not any(_fits(one, found[name]) for one in form.removesuffix("?").split("|")):
            wrong.append(f"{at}{name} is not {form}: {found[name]!r} ({page})")
    return wrong


def _fits(form: str, value: object) -> bool:
    if form == "yes":
        return True
    if form == "null":
        return value is None
    if form == "number":
        return isinstance(value, int) and not isinstance(value, bool)
    if form.startswith("["):
        return isinstance(value, list) and not any(problems(form[1:-1], one) for one in value)
    if form in TABLES:
        return not problems(form, value)
    return isinstance(value, str) and re.fullmatch(FORMS[form], value) is not None
