"""Write docs/controls.md from the tests: ``python -m tests.statements.write``.

Nothing is imported for it: the tests are read as text, and what they say they prove is looked up in the source.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.statements.catalogue import PARTS, Part

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "controls.md"
MARK = "proves"

HEAD = """# Controls

What the product is held to, where the code enforces it, and the test that proves it. This page is written from the
tests (`python -m tests.statements.write`), and a test fails when it is stale, when a statement has no test or two, or
when the code that is named is not there. The statements, in our own words, stand in `tests/statements/catalogue.py`.
Their numbers are those of a longer list: S16 to S26 are about reports and how the log is kept, and have no row here.

ASVS is OWASP ASVS 5.0; AC and AU are controls of NIST SP 800-53; PSD2 RTS is Regulation (EU) 2018/389.
"""


@dataclass(frozen=True)
class Proof:
    """A test that says it proves a statement."""

    number: str
    where: tuple[str, ...]
    test: str  # as pytest calls it
    line: int

    @property
    def name(self) -> str:
        return self.test.rpartition("::")[2]


def proofs(folder: Path = ROOT / "tests" / "statements") -> list[Proof]:
    """Every test that is marked, in the order of the files. Raises ValueError for a mark that is no plain text."""
    return [proof for path in sorted(folder.rglob("test_*.py")) for proof in proofs_in(path)]


def proofs_in(path: Path) -> Iterator[Proof]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        for mark in function.decorator_list:
            if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == MARK:
                number, *where = (ast.literal_eval(said) for said in mark.args)
                test = f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}::{function.name}"
                yield Proof(number, tuple(where), test, function.lineno)


def missing(where: str) -> str | None:
    """Why ``treasury/transfers/dispatch.py:claim`` names nothing; None where it does."""
    file, _, name = where.partition(":")
    path = ROOT / file
    if not name or not path.is_file():
        return f"{where}: there is no such file"
    return None if name in names_in(path) else f"{where}: nothing there is called so"


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a file defines: functions, classes and their methods, values; of an SQL text its functions. Of any other
    file than Python's, its words."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return frozenset(re.findall(r"[\w-]+", text))
    return frozenset({*defined(ast.parse(text).body), *re.findall(r"CREATE (?:OR REPLACE )?FUNCTION (\w+)", text)})


def defined(body: list[ast.stmt], within: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield within + node.name
            if isinstance(node, ast.ClassDef):
                yield from defined(node.body, f"{within}{node.name}.")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = (part for target in targets for part in ast.walk(target))
            yield from (within + part.id for part in parts if isinstance(part, ast.Name))
        elif isinstance(node, (ast.If, ast.With, ast.Try)):
            yield from defined([*node.body, *getattr(node, "orelse", [])], within)


def drawn(found: list[Proof]) -> str:
    """The page, as it should be now."""
    by_number = {proof.number: proof for proof in found}
    return HEAD + "".join(part_of(part, by_number) for part in PARTS)


def part_of(part: Part, found: dict[str, Proof]) -> str:
    lines = [f"\n## {part.title}\n", "| | statement | source | enforced in | proved by |", "|---|---|---|---|---|"]
    for number, statement in part.statements.items():
        proof = found.get(number)
        where = "<br>".join(f"`{one}`" for one in proof.where) if proof else ""
        test = f"`{proof.test}`" if proof else "**no test yet**"
        lines.append(f"| {number} | {statement.says} | {statement.source} | {where} | {test} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(drawn(proofs()), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} written")
