"""A private PostgreSQL cluster on loopback, for the tests that need one. The server refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import pytest

from .redis_server import free_port


def binaries() -> Path | None:
    """The folder of the newest ``initdb`` and ``postgres``, None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    return next((folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def _version(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


class PostgresServer:
    """A server that is started on entering and killed on leaving. It can be stopped and frozen in between."""

    def __init__(self) -> None:
        folder = binaries()
        if folder is None:
            message = "PostgreSQL is not installed: what machines share was not tested"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        self._binaries = folder
        self.port = free_port()
        self._has_database = False
        self._process: subprocess.Popen[bytes] | None = None
        self._psql: subprocess.Popen[str] | None = None
        self._user = _other_user() if os.geteuid() == 0 else None

    def __enter__(self) -> Self:
        # Not in a folder of pytest, because other users cannot enter those.
        self._data = Path(tempfile.mkdtemp(prefix="omipay-postgres-"))
        if self._user is not None:
            os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-D", str(self._data), "-U", "books", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)

    def _run(self, *command: str) -> None:
        program = str(self._binaries / command[0])
        done = subprocess.run(
            [program, *command[1:]], check=False, capture_output=True, text=True, cwd="/", **self._as_user()
        )
        if done.returncode:
            pytest.fail(f"{command[0]}: {done.stdout[-1000:]} {done.stderr[-1000:]}")

    def _as_user(self) -> dict[str, Any]:
        return {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def start(self, **settings: str) -> None:
        """Start it with its data unless it runs, and wait until it accepts connections."""
        if self._process is not None and self._process.poll() is None:
            return
        options = {"fsync": "off", "unix_socket_directories": str(self._data), "listen_addresses": "127.0.0.1"}
        options |= {"port": str(self.port), "max_connections": "60", "shared_buffers": "16MB"}
        options |= {"dynamic_shared_memory_type": "mmap", **settings}  # beside the data, which is removed
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self._data), *flags]
        log = (self._data / "server.log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self._as_user())
        deadline = time.monotonic() + 30
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode != 0:
            if time.monotonic() > deadline or self._process.poll() is not None:
                pytest.fail(f"PostgreSQL did not start: {(self._data / 'server.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def database(self) -> str:
        """The URL of a new, empty database."""
        if not self._has_database:
            self._run("createdb", *self._where(), "-T", "template0", "books")
            self._has_database = True
        self.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return self.url("books")

    def _where(self) -> tuple[str, ...]:
        return ("-h", "127.0.0.1", "-p", str(self.port), "-U", "books")

    def run(self, statements: str) -> None:
        """Run statements in the database. One psql runs those of all tests: to start one takes longer than they do."""
        if self._psql is None:
            command = [str(self._binaries / "psql"), *self._where(), "-qAtX", "-v", "ON_ERROR_STOP=1", "books"]
            quiet = os.environ | {"PGOPTIONS": "-c client_min_messages=warning"}
            self._psql = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=quiet
            )
        assert self._psql.stdin is not None
        assert self._psql.stdout is not None
        print(f"{statements}; SELECT 'done';", file=self._psql.stdin, flush=True)
        if (answer := self._psql.stdout.readline()) != "done\n":
            pytest.fail(f"psql: {answer}")

    def _end_psql(self) -> None:
        if self._psql is not None:
            self._psql.communicate()
            self._psql = None

    def url(self, name: str) -> str:
        """The URL of a database."""
        return f"postgresql://books@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End every connection at once, and the server, as a machine that reboots does."""
        assert self._process is not None
        self._end_psql()
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def repair(self) -> None:
        """Let it run and answer again after whatever was done to it and its connections."""
        self._end_psql()
        self.thaw()
        self.start()

    def kill(self) -> None:
        """End it, frozen or not."""
        self.thaw()
        self.stop()

    def freeze(self) -> None:
        """Stop all its processes, so that it does not answer."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            for pid in (self._process.pid, *map(int, children)):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue


def _other_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("PostgreSQL refuses to run as root, and there is no other user")
