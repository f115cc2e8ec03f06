"""docs/settings.md lists every name that is read from the environment, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = re.compile(r"[A-Z][A-Z_]{3,}")
OF_MANAGE_PY = {"TREASURY_AS_OWNER"}  # manage.py says it to itself
# Values that settings.py reads by.
STANDS_FOR = {"TREASURY_TRUSTED_PROXIES": "PROXIES", "DATABASE_URL": "DATABASE_SETTING"}


def listed() -> set[str]:
    """The names in the first column of the page's table."""
    lines = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines()
    rows = [line.split("|")[1] for line in lines if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}


def read() -> set[str]:
    """What settings.py and the readers of treasury/environment.py ask the environment for."""
    settings, readers = (
        ast.parse((ROOT / "treasury" / name).read_text()) for name in ("settings.py", "environment.py")
    )
    verbs = {one.name for one in readers.body if isinstance(one, ast.FunctionDef)} | {"os.environ.get"}
    return set(asked(settings, verbs)) | set(asked(readers, {"os.environ.get"}))


def asked(tree: ast.Module, verbs: set[str]) -> Iterator[str]:
    """Names in what these verbs are called with: directly, in a starred tuple, or by the name that stands for one."""
    words = {text: name for name, text in STANDS_FOR.items()}
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or ast.unparse(call.func) not in verbs:
            continue
        first = call.args if ast.unparse(call.func) in ("insist_on", "needed_with") else call.args[:1]
        for node in (inner for argument in first for inner in ast.walk(argument)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                yield node.value
            elif isinstance(node, ast.Name) and node.id in words:
                yield words[node.id]


def test_every_setting_is_on_the_page_and_the_page_names_no_other() -> None:
    assert sorted(read() - listed() - OF_MANAGE_PY) == [], "the page misses it"
    assert sorted(listed() - read()) == [], "nothing reads it"
