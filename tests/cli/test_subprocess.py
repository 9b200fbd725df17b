"""The program as it is installed: processes against a sandbox that the program itself serves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

OMIPAY = (sys.executable, "-m", "omipay_async")
SCAN = ("scan", "Flat white", "450", "AUD")
UNREACHABLE = {"OMIPAY_BASE_URL": "http://127.0.0.1:9/omipay/api"}

Environment = dict[str, str]


@pytest.fixture(scope="module")
def environment_of_sandbox() -> Iterator[Environment]:
    """What ``omipay sandbox`` prints, while it runs; Ctrl-C ends it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OMIPAY_")}
    clean |= {"PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}
    server = subprocess.Popen(
        [*OMIPAY, "sandbox", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean
    )
    assert server.stdout is not None
    exports = {}
    for line in server.stdout:
        if match := re.fullmatch(r"export (\w+)=(.*)\n", line):
            exports[match[1]] = match[2]
        if len(exports) == 3:
            break
    yield clean | exports
    server.send_signal(signal.SIGINT)
    _, complaint = server.communicate(timeout=10)
    assert (server.returncode, complaint) == (130, "omipay: interrupted\n")


@pytest.fixture
def omipay(environment_of_sandbox: Environment):
    """Runs ``omipay`` with arguments as a process."""

    def run(*arguments: str, stdin: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*OMIPAY, *arguments],
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            env=environment_of_sandbox | changes,
        )

    return run
