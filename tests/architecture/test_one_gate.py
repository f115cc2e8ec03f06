"""Every connection to another host is made behind the gate: no other file can make one.

Whoever adds a way out adds it here as well, and says why it needs none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from django.conf import settings

from tests.architecture.source import calls, modules, nodes

# What can open a connection, and the files that may import it.
NETWORK = re.compile(
    r"(socket|ssl|smtplib|ftplib|imaplib|poplib|telnetlib|nntplib|xmlrpc|socketserver|asyncio|http\.client|http\.server"
    r"|urllib\.request|urllib3|requests|httpx|httpcore|aiohttp|websockets?|pycurl|paramiko|dns)(\..*)?"
)
BEHIND_THE_GATE = {"connectors/core/gate.py", "connectors/core/http.py", "treasury/outbound.py"}
OTHERS = {
    "connectors/__init__.py": {"httpx"},  # the type of a transport
    "connectors/simulators/core.py": {"socket", "http.server"},  # they listen, and call nobody
    "treasury/controls/heartbeats.py": {"socket"},  # this computer's name
    "treasury/transfers/attempts.py": {"socket"},  # this computer's name
    "treasury/launch/sockets.py": {"socket"},  # whether the embedded database listens, on a socket file
    "treasury/launch/run.py": {"socket", "urllib.request"},  # whether our own web server answers, on this computer
    "treasury/web/provider.py": {"requests"},  # the type of treasury.outbound's session
}
OF_A_TYPE_OR_A_NAME = {
    "httpx": {"Auth", "Request", "Response", "BaseTransport", "URL"},
    "socket": {"gethostname"},
    "requests": {"Session"},
}
ONLY_NAMES = ("connectors/__init__.py", "treasury/controls/heartbeats.py", "treasury/transfers/attempts.py")
# Other ways to call somebody that need none of the above.
CALLS = re.compile(r"(.*\.)?(send_mail|mail_admins|mail_managers|send_mass_mail|urlopen|create_connection|getaddrinfo)")


def imported() -> Iterator[tuple[str, str]]:
    """(file, module) of everything imported that can open a connection."""
    for path, tree in modules().items():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                if NETWORK.fullmatch(name):
                    yield path, name


def is_a_venue(path: str) -> bool:
    return path.startswith("connectors/") and path.count("/") == 1 and path != "connectors/__init__.py"


def test_no_other_file_imports_what_opens_connections() -> None:
    found = {
        (path, name)
        for path, name in imported()
        if path not in BEHIND_THE_GATE
        and not (is_a_venue(path) and name == "httpx")
        and not any(name == one or name.startswith(f"{one}.") for one in OTHERS.get(path, ()))
        and not (path == "treasury/notices/post.py" and name == "smtplib")  # the names of its errors; see below
    }
    assert found == set()
    assert {path for path, _ in imported()} >= BEHIND_THE_GATE, "the walk finds those that do, so it would find another"


def test_what_stands_on_the_list_is_still_needed() -> None:
    there = set(imported())
    assert [path for path, names in OTHERS.items() if not {(path, name) for name in names} & there] == []


def test_venues_use_the_librarys_types_and_never_its_calls() -> None:
    """A venue's module describes a request; connectors.core.http alone makes it."""
    found = []
    for place, node in nodes():
        path = place.rpartition(":")[0]
        if not (is_a_venue(path) or path in ONLY_NAMES or path == "treasury/web/provider.py"):
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            allowed = OF_A_TYPE_OR_A_NAME.get(node.value.id)
            if allowed is not None and node.attr not in allowed:
                found.append(f"{place} {ast.unparse(node)}")
        if isinstance(node, ast.ImportFrom) and node.module in OF_A_TYPE_OR_A_NAME:
            found.append(f"{place} from {node.module}")
    assert found == []


def test_no_mail_is_sent_but_by_the_post() -> None:
    smtp = [
        f"{place} {ast.unparse(node)}"
        for place, node in nodes(inside="treasury/notices/")
        if (isinstance(node, ast.Attribute) and ast.unparse(node.value) == "smtplib" and node.attr.startswith("SMTP_"))
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in ("smtplib.SMTP", "smtplib.LMTP"))
    ]
    assert smtp == []
    found = {
        place.rpartition(":")[0]
        for place, call in calls()
        if CALLS.fullmatch(ast.unparse(call.func))
        or (isinstance(call.func, ast.Name) and call.func.id in ("EmailMessage", "get_connection"))
    }
    others = {"treasury/notices/post.py", "connectors/core/gate.py", "treasury/launch/run.py"}
    assert found - others == set()
    assert settings.EMAIL_BACKEND.startswith("django.core.mail.backends.") or settings.EMAIL_BACKEND == (
        "treasury.outbound.EmailBackend"
    )


def test_every_client_behind_the_gate_ignores_the_environment_and_follows_nothing() -> None:
    found = []
    for place, call in calls():
        if ast.unparse(call.func) in ("httpx.Client", "httpx.HTTPTransport", "httpx.create_ssl_context"):
            words = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            followed = words.get("follow_redirects", "False" if "Client" not in ast.unparse(call.func) else "")
            if words.get("trust_env") != "False" or followed != "False":
                found.append(place)
    assert found == []
    never = [place for place, node in nodes() if isinstance(node, ast.keyword) and ast.unparse(node) == "verify=False"]
    assert never == []
