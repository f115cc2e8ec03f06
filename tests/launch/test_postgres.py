"""The embedded database survives what happens to processes, for every account and in every folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.launch.conftest import NOW, ORDINARY, Account
from treasury.launch import postgres, postmaster, sockets

as_we_are = pytest.mark.parametrize("account", [NOW], indirect=True)
as_two_accounts = pytest.mark.parametrize("account", [NOW, ORDINARY], indirect=True)


@pytest.fixture
def home(account: Account) -> Path:
    """A path with spaces, a dollar and a quote, too long for a socket."""
    return account.folder / ("a folder with a $long 'name " * 5) / "postgres"


def runs(home: Path) -> bool:
    return postmaster.find(home / "data") is not None and sockets.answers(sockets.folder(home))


def test_it_starts_stops_with_its_user_and_starts_again(account: Account, home: Path) -> None:
    assert len(str(home)) > 140
    for _ in range(2):
        user = account.starts(home)
        assert user.asks() == "works"
        assert runs(home)
        assert user.leaves() == 0
        assert not runs(home)
        assert not sockets.folder(home).exists()


@as_we_are
def test_four_who_start_at_once_share_one_server(account: Account, home: Path) -> None:
    users = [account.starts(home) for _ in range(4)]
    assert [user.asks() for user in users] == ["works"] * 4
    for user in users[:3]:
        user.leaves()
    assert users[3].asks() == "works"
    users[3].leaves()
    assert not runs(home)


@as_we_are
def test_a_killed_user_is_not_counted(account: Account, home: Path) -> None:
    first, second = account.starts(home), account.starts(home)
    assert first.asks() == second.asks() == "works"
    first.is_killed()
    assert second.asks() == "works"
    second.leaves()
    assert not runs(home)


@as_two_accounts
def test_the_server_of_a_killed_only_user_is_found_and_stopped(account: Account, home: Path) -> None:
    first = account.starts(home)
    assert first.asks() == "works"
    first.is_killed()
    server = postmaster.find(home / "data")
    assert server
    second = account.starts(home)
    assert second.asks() == "works"
    assert postmaster.find(home / "data") == server
    second.leaves()
    assert not runs(home)


def test_a_killed_server_is_replaced_though_it_is_a_zombie(account: Account, home: Path) -> None:
    first = account.starts(home)
    assert first.asks() == "works"
    server = postmaster.find(home / "data")
    assert server
    server.kill()
    while server.status() != psutil.STATUS_ZOMBIE:  # its parent, the first user, does not look after it
        time.sleep(0.01)
    second = account.starts(home)
    assert second.asks() == "works"
    assert first.asks() == "works"
    second.leaves()
    assert first.asks() == "works"
    first.leaves()
    assert not runs(home)


@as_we_are
def test_a_stale_file_that_names_another_process_is_no_server(account: Account, home: Path) -> None:
    first = account.starts(home)
    assert first.asks() == "works"
    words = (home / "data" / "postmaster.pid").read_text().splitlines()
    first.leaves()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (home / "data" / "postmaster.pid").write_text("\n".join([str(other.pid), *words[1:]]))
        second = account.starts(home)
        assert second.asks() == "works"
        assert other.poll() is None
        second.leaves()
        other.communicate(b"\n")


@as_we_are
def test_a_home_deleted_under_its_server_can_be_made_again(account: Account, home: Path) -> None:
    first = account.starts(home)
    assert first.asks() == "works"
    shutil.rmtree(home)
    second = account.starts(home)
    assert second.asks() == "works"
    first.leaves()
    assert second.asks() == "works"
    second.leaves()
    assert not runs(home)


@as_we_are
def test_a_lost_socket_is_made_again(account: Account, home: Path) -> None:
    first = account.starts(home)
    assert first.asks() == "works"
    first.is_killed()
    shutil.rmtree(sockets.folder(home))
    second = account.starts(home)
    assert second.asks() == "works"
    second.leaves()


@as_we_are
def test_a_half_made_cluster_is_made_again(account: Account, home: Path) -> None:
    (home / "data.new").mkdir(parents=True)
    (home / "data.new" / "PG_VERSION").write_text("18\n")
    user = account.starts(home)
    assert user.asks() == "works"
    user.leaves()


def test_no_folder_above_changes_and_no_account_is_made(account: Account, home: Path) -> None:
    home.parent.mkdir(parents=True)
    if account.user:
        os.chown(home.parent, account.user, -1)
    above = {folder: (folder.stat().st_mode, folder.stat().st_uid) for folder in home.parents}
    accounts = Path("/etc/passwd").read_bytes()
    user = account.starts(home)
    assert user.asks() == "works"
    user.leaves()
    assert {folder: (folder.stat().st_mode, folder.stat().st_uid) for folder in home.parents} == above
    assert Path("/etc/passwd").read_bytes() == accounts


@as_we_are
def test_a_forked_child_never_stops_it(account: Account, home: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from treasury.launch import postgres\n"
        "address = postgres.start(Path(sys.argv[1]), durable=False)\n"
        "child = os.fork()\n"
        "if not child: sys.exit(0)  # with its exit handlers\n"
        "os.waitpid(child, 0)\n"
        "import psycopg; psycopg.connect(address).close()\n"
    )
    subprocess.run([account.python, "-W", "ignore", "-c", script, str(home)], check=True, env=account.env, cwd="/")
    assert not runs(home)


@as_we_are
def test_its_settings_are_those_of_a_ledger(account: Account, home: Path) -> None:
    address = postgres.start(home)
    try:
        with psycopg.connect(address) as connection:
            names = ("synchronous_commit", "fsync", "max_connections", "listen_addresses", "TimeZone")
            said = [connection.execute("SELECT current_setting(%s)", [name]).fetchone() for name in names]
            assert said == [("on",), ("on",), ("200",), ("",), ("UTC",)]
            assert connection.info.dbname == "treasury"
        assert sockets.folder(home).stat().st_mode & 0o777 == 0o700
        assert address == postgres.dsn(home)
    finally:
        postgres.release(home)


@as_we_are
def test_a_socket_folder_that_somebody_else_made_is_not_used(account: Account, home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder in another's name")
    taken = sockets.folder(home)
    taken.mkdir()
    os.chown(taken, 65534, 65534)
    try:
        user = account.starts(home)
        assert user.asks() == "works"
        assert sockets.folder(home) != taken
        user.leaves()
        assert list(taken.iterdir()) == []
    finally:
        taken.rmdir()


def test_a_temporary_folder_too_long_or_with_spaces_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("/tmp/" + "long" * 20, "/tmp/a b"):
        monkeypatch.setattr(tempfile, "tempdir", folder)
        socket = sockets.folder(tmp_path) / ".s.PGSQL.5432"
        assert socket.parent.parent == Path("/tmp")
        assert len(bytes(socket)) <= 103


def test_a_database_is_read_from_every_form_of_address() -> None:
    assert postgres.parse("postgresql://postgres@/treasury?host=%2Ftmp%2Fpg") == {
        "NAME": "treasury",
        "USER": "postgres",
        "PASSWORD": "",
        "HOST": "/tmp/pg",
        "PORT": "5432",
        "OPTIONS": {},
    }
    assert postgres.parse("postgres://a%40b:p%2Fw@db.example:6000/x?sslmode=verify-full") == {
        "NAME": "x",
        "USER": "a@b",
        "PASSWORD": "p/w",
        "HOST": "db.example",
        "PORT": "6000",
        "OPTIONS": {"sslmode": "verify-full"},
    }


@pytest.mark.parametrize("address", ["mysql://secret@host/x", "postgresql://u:secret@host:port/x"])
def test_an_address_that_is_none_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL") as refusal:
        postgres.parse(address)
    assert "secret" not in str(refusal.value)


def test_keywords_quote_what_needs_it_and_leave_out_what_is_djangos() -> None:
    database = {**postgres.parse("postgresql://u:a%20b@h/x?sslmode=require"), "ENGINE": "any"}
    database["OPTIONS"] = {**database["OPTIONS"], "pool": {"min_size": 1}}
    assert postgres.keywords(database) == "host=h port=5432 dbname=x user=u password='a b' sslmode=require"
