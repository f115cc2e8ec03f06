"""Every step that decides, or changes what governs, asks for a fresh factor: found by following what views call."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from django.urls import URLPattern

from treasury.web import factor
from treasury.web.urls import urlpatterns

WEB = Path(factor.__file__).parent
ROOMS = ("treasury.controls", "treasury.transfers", "treasury.balances", "treasury.rebalancing")
VERBS = (
    *("approve", "reject", "withdraw", "submit", "cancel", "confirm", "decline", "propose", "stop", "deactivate"),
    *("sign_out", "end_session"),
    *("enter", "import_csv"),  # prices: what a transfer is worth decides which rule asks whom
)
# Verbs of the same names that decide nothing: drafts, which are submitted one by one.
HARMLESS = frozenset({"treasury.rebalancing.propose.propose"})

Place = tuple[str, str]  # a module and a name in it


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((WEB / f"{module.rpartition('.')[2]}.py").read_text())


@cache
def imports_of(module: str) -> dict[str, str]:
    """{name: what it stands for}, of everything that the module imports."""
    found = {}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return found


@cache
def defined_in(module: str) -> dict[str, ast.AST]:
    """Functions, and tables of functions, by name."""
    found: dict[str, ast.AST] = {}
    for node in tree_of(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            names = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id: node.value for name in names if isinstance(name, ast.Name)}
    return found


def mentioned(node: ast.AST, module: str) -> Iterator[str]:
    """What it names, in full: "treasury.transfers.approve.approve"."""
    known, own = imports_of(module), defined_in(module)
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id in known:
            yield f"{known[one.value.id]}.{one.attr}"
        elif isinstance(one, ast.Name) and one.id in known:
            yield known[one.id]
        elif isinstance(one, ast.Name) and one.id in own:
            yield f"{module}.{one.id}"


def is_verb(name: str) -> bool:
    verb = name.rpartition(".")[2]
    asked = any(verb == one or verb.startswith(f"{one}_") for one in VERBS)
    return name.startswith(ROOMS) and asked and name not in HARMLESS and callable(resolved(name))


def resolved(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(inspect.importlib.import_module(module), attribute, None)  # type: ignore[attr-defined]
    except ImportError:
        return None
    return None if isinstance(found, ModuleType | type) else found


def verbs_of(module: str, name: str, seen: set[Place] | None = None) -> set[str]:
    """The deciding verbs that a function of treasury.web may come to call."""
    seen = set() if seen is None else seen
    if (module, name) in seen or name not in defined_in(module):
        return set()
    seen.add((module, name))
    found: set[str] = set()
    for full in mentioned(defined_in(module)[name], module):
        room, _, inner = full.rpartition(".")
        if is_verb(full):
            found.add(full)
        elif room.startswith("treasury.web.") and (WEB / f"{room.rpartition('.')[2]}.py").is_file():
            found |= verbs_of(room, inner, seen)
    return found


def views() -> Iterator[tuple[Any, str, str]]:
    for pattern in urlpatterns:
        if isinstance(pattern, URLPattern):
            inner = inspect.unwrap(pattern.callback)
            if inner.__module__.startswith("treasury.web."):
                yield pattern.callback, inner.__module__, inner.__name__


def asks(view: Any) -> bool:
    while view is not None:
        if getattr(view, "decides", False):
            return True
        view = getattr(view, "__wrapped__", None)
    return False


def takes_posts(module: str, name: str) -> bool:
    node = defined_in(module).get(name)
    assert isinstance(node, ast.FunctionDef)
    return not any(ast.unparse(one) == "require_safe" for one in node.decorator_list)


def test_every_view_that_decides_asks_for_a_fresh_factor() -> None:
    deciding = {}
    for view, module, name in views():
        if takes_posts(module, name) and (verbs := verbs_of(module, name)):
            deciding[f"{module}.{name}"] = (asks(view), sorted(verbs))
    without = {name: verbs for name, (asked, verbs) in deciding.items() if not asked}
    assert without == {}
    # It would find nothing if it looked in the wrong place.
    assert {"treasury.web.steps.approve", "treasury.web.changes.step", "treasury.web.stops.order"} <= deciding.keys()
    assert len(deciding) > 15
