"""The project's own source, parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("treasury", "connectors")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the product, by its path from the root, migrations left out."""
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(), filename=str(path))
        for folder in CODE
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "migrations" not in path.parts
    }


def nodes(*, inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    """(path:line, node) of every node of the modules whose path begins so."""
    for path, tree in modules().items():
        if path.startswith(inside):
            for node in ast.walk(tree):
                yield f"{path}:{getattr(node, 'lineno', 0)}", node


def calls(*, inside: str = "") -> Iterator[tuple[str, ast.Call]]:
    for place, node in nodes(inside=inside):
        if isinstance(node, ast.Call):
            yield place, node


def texts(*, inside: str = "") -> Iterator[tuple[str, str]]:
    """Every text in the code, docstrings and the parts of f-strings included."""
    for place, node in nodes(inside=inside):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield place, node.value


def name_of(function: ast.expr) -> str:
    """The last word of what is called: ``update`` of ``Transfer.objects.filter(…).update``."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def file_of(place: str) -> str:
    return place.rpartition(":")[0]
