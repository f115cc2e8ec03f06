"""Rules of the house that a reader would have to take on trust, read from the source itself."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from django.core.management import call_command

import connectors
from tests.architecture.source import CODE, ROOT, calls, file_of, modules, name_of, nodes, texts

# allauth takes the steps of signing in itself, and only by its signals does anybody hear of them: these two listen.
LISTENERS = ("treasury/web/provider.py", "treasury/web/witness.py")
# Sends what the library for identity providers asks for, past the gate: no transfer of ours is in it.
ADAPTER = "treasury/outbound.py"

STATE_WRITER = "treasury/transfers/lifecycle.py"
WITNESS = "treasury/audit/record.py"

# Where a float is meant: seconds for a clock, never money. The number of calls, so that a new one is noticed.
FLOATS = {
    "connectors/simulators/pages.py": 1,  # how many seconds a simulated fault lasts
    "treasury/web/factor.py": 1,  # the second of a Unix time at which a factor was proved
    "treasury/web/provider.py": 1,  # the same, as an identity provider says it
}


# -- one writer of a transfer's state ------------------------------------------------------------------------


def writes_of_state() -> Iterator[str]:
    for place, node in nodes():
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        for target in targets:
            for part in ast.walk(target):
                if ast.unparse(part).startswith("sociallogin."):  # where allauth stands in a sign-in
                    continue
                if isinstance(part, ast.Attribute) and part.attr == "state":
                    yield f"{place} assigns .state"
    for place, call in calls():
        name, keywords = name_of(call.func), {keyword.arg for keyword in call.keywords}
        if ast.unparse(call.func).startswith("Plan.objects."):  # a plan has a state of its own, and moves nothing
            continue
        if name in ("update", "Transfer") and "state" in keywords:
            yield f"{place} {name}(state=…)"
        if name in ("update", "create", "update_or_create", "get_or_create", "Transfer", "save", "bulk_update"):
            spread = [k.value for k in call.keywords if k.arg in (None, "defaults", "update_fields", "fields")]
            for value in [*spread, *(call.args if name in ("bulk_update", "update") else [])]:
                if any(isinstance(part, ast.Constant) and part.value == "state" for part in ast.walk(value)):
                    yield f'{place} {name}(… "state" …)'
        if name == "setattr" and isinstance(call.args[1], ast.Constant) and call.args[1].value == "state":
            yield f"{place} setattr(…, 'state', …)"
    for place, text in texts():
        if re.search(r"\b(update|into|merge into|copy)\s+\"?treasury_transfer\b", text, re.IGNORECASE):
            yield f"{place} writes treasury_transfer in SQL"


def test_one_function_alone_assigns_a_transfers_state() -> None:
    found = list(writes_of_state())
    assert [place for place in found if not place.startswith(STATE_WRITER)] == []
    assert found, "the walk finds the one writer, so it would find another"


def test_the_lifecycles_writer_is_advance_and_begin() -> None:
    functions = {
        function.name: function
        for function in ast.walk(modules()[STATE_WRITER])
        if isinstance(function, ast.FunctionDef)
    }
    writing = {
        name
        for name, function in functions.items()
        if any(
            place.startswith(f"{STATE_WRITER}:{line} ")
            for place in writes_of_state()
            for line in range(function.lineno, (function.end_lineno or 0) + 1)
        )
        or (name_of_updates(function) and name != "entry")
    }
    assert writing == {"advance", "begin"}


def name_of_updates(function: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Call) and name_of(node.func) == "update" for node in ast.walk(function))


# -- one witness ---------------------------------------------------------------------------------------------


def test_nobody_but_the_witness_writes_entries() -> None:
    found = set()
    for place, call in calls():
        whole = ast.unparse(call.func)
        if re.fullmatch(r"AuditEntry(\.objects\.\w*(create|update)\w*)?", whole):
            found.add(file_of(place))
    for place, text in texts():
        if re.search(r"\b(insert into|copy|update)\s+treasury_auditentry\b", text, re.IGNORECASE):
            found.add(file_of(place))
    assert found == {WITNESS}


def test_there_are_no_signals() -> None:
    """Whoever changes something says so in the same breath."""
    words = {"receiver", "post_save", "pre_save", "post_delete", "pre_delete", "m2m_changed", "user_logged_in"}
    found = []
    for place, node in nodes():
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("django"):
            if node.module.endswith("signals") or node.module == "django.dispatch":
                found.append(f"{place} from {node.module}")
            found += [f"{place} {alias.name}" for alias in node.names if alias.name in words | {"signals"}]
        if isinstance(node, (ast.Name, ast.Attribute)) and (
            (node.id if isinstance(node, ast.Name) else node.attr) in words
        ):
            found.append(place)
    assert [place for place in found if not place.startswith(LISTENERS)] == []


# -- money ---------------------------------------------------------------------------------------------------


def test_no_amount_becomes_a_float() -> None:
    found = Counter(file_of(place) for place, call in calls() if ast.unparse(call.func) == "float")
    assert dict(found) == FLOATS


def test_no_decimal_is_made_from_a_float() -> None:
    found = [
        place
        for place, call in calls()
        if name_of(call.func) == "Decimal"
        for part in call.args
        if isinstance(part, ast.Constant) and isinstance(part.value, float)
    ]
    assert found == []


def test_no_json_of_a_venue_is_read_into_floats() -> None:
    """What comes over the wire is parsed with ``parse_float``; what we wrote ourselves holds no floats."""
    found = [
        place
        for place, call in calls(inside="connectors/")
        if ast.unparse(call.func) in ("json.loads", "json.load", "response.json", "self.response.json")
        and "simulators/" not in place
        and not any(keyword.arg == "parse_float" for keyword in call.keywords)
    ]
    assert found == []


# -- no second send ------------------------------------------------------------------------------------------


def test_no_task_retries_by_itself() -> None:
    found = []
    for place, call in calls(inside="treasury/"):
        if name_of(call.func) in ("retry", "self_retry"):
            found.append(f"{place} {ast.unparse(call.func)}")
        for keyword in call.keywords:
            if keyword.arg in ("autoretry_for", "retry_backoff", "retry_kwargs", "max_retries", "retry_policy"):
                found.append(f"{place} {keyword.arg}")
            if keyword.arg == "retry" and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            ):
                found.append(f"{place} retry={ast.unparse(keyword.value)}")
    assert found == []


def test_send_is_called_in_one_place_and_in_no_loop() -> None:
    found = []
    for path, tree in modules().items():
        if not path.startswith("treasury/"):
            continue
        looped = {
            id(node) for loop in ast.walk(tree) if isinstance(loop, (ast.For, ast.While)) for node in ast.walk(loop)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "send":
                found.append((path, id(node) in looped))
    found = [(path, in_loop) for path, in_loop in found if path != ADAPTER]
    assert found == [("treasury/transfers/attempts.py", False)]


def test_no_commit_is_made_less_than_durable() -> None:
    """A lost claim is a second send."""
    pairs = [
        (place, ast.unparse(value))
        for place, node in nodes()
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "synchronous_commit"
    ]
    assert {value for _, value in pairs} <= {"'on'"}
    said = [file_of(place) for place, text in texts() if "synchronous_commit" in text]
    assert sorted(said) == sorted(file_of(place) for place, _ in pairs), "set elsewhere, as a text"


# -- the house -----------------------------------------------------------------------------------------------


def test_imports_stand_at_the_top() -> None:
    """But for the solver's: it weighs some 80 MB, and only the worker that plans may pay for it."""
    found = [
        f"{path}:{node.lineno}"
        for path, tree in modules().items()
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom)) and "ortools" not in ast.unparse(node)
    ]
    assert found == []


def test_no_file_is_named_after_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "services", "service", "managers", "manager", "misc"}
    found = [
        str(path.relative_to(ROOT))
        for folder in (*CODE, "tests", "templates", "static")
        for path in (ROOT / folder).rglob("*")
        if path.stem.lower() in empty
    ]
    assert found == []


@pytest.mark.django_db
def test_the_migrations_are_complete() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_nothing_but_the_connectors_knows_a_venue_by_name() -> None:
    """A sixth venue costs no edit: so nobody may name the five."""
    names = "|".join(re.escape(name) for name in connectors.venues())
    named = re.compile(rf"(?<![a-z0-9])(?:{names})(?![a-z0-9])", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder, kinds in (("treasury", "py"), ("templates", "html|txt"), ("static", "js|css"))
        for path in sorted((ROOT / folder).rglob("*"))
        if re.fullmatch(rf"\.(?:{kinds})", path.suffix)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if named.search(line)
    ]
    assert found == []
