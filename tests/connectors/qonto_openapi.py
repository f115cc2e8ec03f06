"""What Qonto's documentation says about the calls we make, as an OpenAPI description in our own words; and its judge.

The facts are those of the pages create-an-internal-transfer, retrieve-the-authenticated-organization, pagination,
list-transactions and sca of https://docs.qonto.com. It is stricter than Qonto's own document, where limits stand in
prose: the 99 characters, the one currency, the form of an amount. `breaches` understands the few words of JSON Schema
that either document uses, and raises for any other.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

Document = Mapping[str, Any]

TEXT = {"type": "string"}
NUMBER = {"type": "number"}
WHOLE = {"type": "integer"}
TRUTH = {"type": "boolean"}
TEXT_OR_NULL = {"type": ["string", "null"]}
WHOLE_OR_NULL = {"type": ["integer", "null"]}
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
MOMENT_OR_NULL = {"type": ["string", "null"], "pattern": MOMENT["pattern"]}
IBAN = {"type": "string", "pattern": r"^[A-Z]{2}\d\d[A-Z0-9]{11,30}$"}


def an_object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def a_list_of(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def answered_with(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}} if schema else {}


STAGING_TOKEN = {"name": "X-Qonto-Staging-Token", "in": "header", "schema": TEXT}
ERRORS = an_object(
    {"errors": a_list_of(an_object({"code": TEXT, "detail": TEXT}, {"source": an_object({}, {"pointer": TEXT})}))},
    {"trace_id": TEXT},
)
TRANSFER = an_object(
    {
        "id": TEXT,
        "slug": TEXT,
        "status": {"type": "string", "enum": ["pending"]},
        "amount": NUMBER,
        "amount_cents": WHOLE,
        "currency": {"type": "string", "enum": ["EUR"]},
        "reference": TEXT,
        "created_at": MOMENT,
    }
)
ACCOUNT = an_object(
    {
        "id": TEXT,
        "slug": TEXT,
        "name": TEXT,
        "iban": IBAN,
        "bic": TEXT,
        "currency": TEXT,
        "balance": NUMBER,
        "balance_cents": WHOLE,
        "authorized_balance": NUMBER,
        "authorized_balance_cents": WHOLE,
        "status": TEXT,
        "main": TRUTH,
        "updated_at": MOMENT,
        "is_external_account": TRUTH,
    },
    {"account_number": TEXT_OR_NULL},
)
TRANSACTION = an_object(
    {
        "id": TEXT,
        "transaction_id": TEXT,
        "amount": NUMBER,
        "amount_cents": WHOLE,
        "local_amount": NUMBER,
        "local_amount_cents": WHOLE,
        "local_currency": TEXT,
        "side": {"type": "string", "enum": ["debit", "credit"]},
        "operation_type": TEXT,
        "currency": TEXT,
        "label": TEXT,
        "emitted_at": MOMENT,
        "settled_at": MOMENT_OR_NULL,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "status": {"type": "string", "enum": ["pending", "declined", "completed"]},
        "note": TEXT_OR_NULL,
        "reference": TEXT_OR_NULL,
        "initiator_id": TEXT_OR_NULL,
        "subject_type": TEXT,
        "bank_account_id": TEXT,
        "is_external_transaction": TRUTH,
    }
)
META = an_object(
    {
        "current_page": WHOLE,
        "next_page": WHOLE_OR_NULL,
        "prev_page": WHOLE_OR_NULL,
        "total_pages": WHOLE,
        "total_count": WHOLE,
        "per_page": WHOLE,
    }
)


def asked_with(name: str, schema: Mapping[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema}


DIGITS = {"type": "string", "pattern": r"^[1-9]\d{0,2}$"}

DESCRIPTION: Document = {
    "openapi": "3.1.1",
    "servers": [
        {"url": "https://thirdparty.qonto.com"},
        {"url": "https://thirdparty-sandbox.staging.qonto.co"},
    ],
    "paths": {
        "/v2/internal_transfers": {
            "post": {
                "parameters": [
                    {"name": "X-Qonto-Idempotency-Key", "in": "header", "required": True, "schema": TEXT},
                    STAGING_TOKEN,
                    {"name": "X-Qonto-Sca-Session-Token", "in": "header", "schema": TEXT},
                ],
                "requestBody": answered_with(
                    an_object(
                        {
                            "internal_transfer": an_object(
                                {
                                    "debit_iban": IBAN,
                                    "credit_iban": IBAN,
                                    "reference": {"type": "string", "maxLength": 99},
                                    "amount": {"type": "string", "pattern": r"^\d+(\.\d{1,2})?$"},
                                    "currency": {"type": "string", "enum": ["EUR"]},
                                }
                            )
                        }
                    )
                ),
                "responses": {
                    "200": answered_with(an_object({"internal_transfer": TRANSFER})),
                    **{status: answered_with(ERRORS) for status in ("400", "401", "403", "404", "422")},
                    "409": answered_with(an_object({"error": TEXT})),
                    "412": answered_with(an_object({"message": TEXT})),
                    "428": answered_with(an_object({"message": TEXT}, {"sca_session_token": TEXT, "code": TEXT})),
                    "429": answered_with(an_object({"error": TEXT})),
                    "500": answered_with(None),
                },
            }
        },
        "/v2/organization": {
            "get": {
                "parameters": [STAGING_TOKEN],
                "responses": {
                    "200": answered_with(
                        an_object(
                            {
                                "organization": an_object(
                                    {"id": TEXT, "name": TEXT, "slug": TEXT, "bank_accounts": a_list_of(ACCOUNT)},
                                    {"legal_name": TEXT},
                                )
                            }
                        )
                    ),
                    "401": answered_with(ERRORS),
                },
            }
        },
        "/v2/transactions": {
            "get": {
                "parameters": [
                    STAGING_TOKEN,
                    asked_with("bank_account_id", TEXT),
                    asked_with("iban", IBAN),
                    asked_with("status[]", {"type": "string", "enum": ["pending", "declined", "completed"]}),
                    asked_with("updated_at_from", MOMENT),
                    asked_with("sort_by", {"type": "string", "pattern": r"^[a-z_]+:(asc|desc)$"}),
                    asked_with("page", DIGITS),
                    asked_with("per_page", DIGITS),
                ],
                "responses": {
                    "200": answered_with(an_object({"transactions": a_list_of(TRANSACTION), "meta": META})),
                    "401": answered_with(ERRORS),
                },
            }
        },
        "/v2/sca_sessions/{sca-session-token}": {
            "get": {
                "parameters": [STAGING_TOKEN],
                "responses": {
                    "200": answered_with(
                        an_object(
                            {
                                "result": {"type": "string", "enum": ["waiting", "allow", "deny"]},
                                "canceled_at": TEXT_OR_NULL,
                            }
                        )
                    ),
                    "401": answered_with(ERRORS),
                    "404": answered_with(ERRORS),
                },
            }
        },
    },
}

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}
# Words of a schema that check nothing.
SILENT = {"description", "example", "examples", "x-examples", "title"}


def breaches(document: Document, schema: Mapping[str, Any], value: Any, where: str = "") -> Iterator[str]:
    """In what a value differs from a schema. Raises ValueError for a word of the schema that is not understood."""
    schema = _resolved(document, schema)
    strange = set(schema) - SILENT - {"type", "properties", "required", "items", "enum", "maxLength", "pattern"}
    if strange:
        raise ValueError(f"{where}: the schema uses {sorted(strange)}")
    named = schema.get("type", [])
    wanted = [named] if isinstance(named, str) else named
    if wanted and not any(_is_a(value, one) for one in wanted):
        yield f"{where}: {value!r} is no {' or '.join(wanted)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    if isinstance(value, str):
        if len(value) > schema.get("maxLength", len(value)):
            yield f"{where}: longer than {schema['maxLength']}"
        if not re.search(schema.get("pattern", ""), value):
            yield f"{where}: {value!r} does not look like {schema['pattern']}"
    if isinstance(value, dict):
        yield from (f"{where}/{name}: missing" for name in schema.get("required", []) if name not in value)
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from breaches(document, inner, value[name], f"{where}/{name}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from breaches(document, schema.get("items", {}), item, f"{where}/{number}")


def breaches_of_request(document: Document, request: httpx.Request) -> Iterator[str]:
    """In what a request differs from the description: its path, headers, query and body."""
    operation = _operation(document, request)
    if operation is None:
        yield f"{request.method} {request.url.path} is not described"
        return
    if not request.headers.get("Authorization"):
        yield "Authorization: missing"
    query = dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))
    described = [_resolved(document, parameter) for parameter in operation.get("parameters", [])]
    for parameter in described:
        given = (request.headers if parameter["in"] == "header" else query).get(parameter["name"])
        if given is not None:
            yield from breaches(document, parameter["schema"], given, parameter["name"])
        elif parameter.get("required"):
            yield f"{parameter['name']}: missing"
    names = {parameter["name"] for parameter in described}
    yield from (f"{name}: not described" for name in query if name not in names)
    if "requestBody" in operation:
        if request.headers.get("Content-Type") != "application/json":
            yield "Content-Type: not application/json"
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        yield from breaches(document, schema, json.loads(request.content), "body")


def breaches_of_answer(document: Document, response: httpx.Response) -> Iterator[str]:
    """In what an answer differs from the description: its status, and the body of that status."""
    operation = _operation(document, response.request) or {"responses": {}}
    described = operation["responses"].get(str(response.status_code))
    if described is None:
        yield f"{response.request.url.path}: status {response.status_code} is not described"
        return
    described = _resolved(document, described)
    if "content" in described:
        schema = described["content"]["application/json"]["schema"]
        yield from breaches(document, schema, json.loads(response.content), "answer")


def _operation(document: Document, request: httpx.Request) -> Mapping[str, Any] | None:
    path = urlsplit(str(request.url)).path
    for template, methods in document["paths"].items():
        if re.fullmatch(re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(template)), path):
            found: Mapping[str, Any] | None = methods.get(request.method.lower())
            return found
    return None


def _resolved(document: Document, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = found
    return schema


def _is_a(value: Any, named: str) -> bool:
    return isinstance(value, TYPES[named]) and (named == "boolean" or not isinstance(value, bool))
