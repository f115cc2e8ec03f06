"""Draw LIFECYCLE.md from the table, so that the picture cannot lie."""

from __future__ import annotations

from treasury.models import ENDED, NEXT, State

HEAD = """# The life of a transfer

Drawn from the table in `treasury/models/transfer.py` by `python manage.py lifecycle`; a test compares.

```mermaid
stateDiagram-v2
"""


def draw() -> str:
    """The Markdown text, with a Mermaid state diagram and a table."""
    lines = ["    [*] --> DRAFT"]
    lines += [f"    {state.value} --> {after.value}" for state in State for after in State if after in NEXT[state]]
    lines += [f"    {state.value} --> [*]" for state in State if state in ENDED]
    rows = [f"| {state.value} | {state.label} | {following(state)} |" for state in State]
    table = "\n".join(["| state | on the page | may become |", "|---|---|---|", *rows])
    return HEAD + "\n".join(lines) + "\n```\n\n" + table + "\n"


def following(state: State) -> str:
    return ", ".join(after.value for after in State if after in NEXT[state]) or "none"
