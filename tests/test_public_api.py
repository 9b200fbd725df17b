"""The public interface is pinned, so that every change of it is intended."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import omipay_async

from .support.public_api import MODULES, PACKAGE, PINNED, described

BUILD_READS = re.compile(r"""(?i)^(__version__|VERSION)(?: ?\: ?str)? *= *(['"])v?(?P<version>.+?)\2""", re.MULTILINE)


def test_the_public_interface_is_the_written_one() -> None:
    """No name, parameter, default, type, member or documented error changes unless the file is written again."""
    pinned, found = PINNED.read_text(encoding="utf-8"), described()
    changes = "\n".join(difflib.unified_diff(pinned.splitlines(), found.splitlines(), "decided", "found", n=1))
    assert not changes, f"if this is meant: python -m tests.support.public_api, and a word in CHANGELOG.md\n{changes}"


def test_the_text_is_the_same_in_every_process_and_on_every_machine() -> None:
    """It contains no address, and every public module and name."""
    text = PINNED.read_text(encoding="utf-8")
    assert " at 0x" not in text
    assert re.findall(r"^== (.+)$", text, re.MULTILINE) == [f"{PACKAGE}{suffix}" for suffix in MODULES]
    of_top = text.split("== ")[1].splitlines()[1:]
    listed = [re.split(r"[ (]", re.sub(r"^(class|def|async def) ", "", line))[0] for line in of_top if line[0] != " "]
    assert listed == dir(omipay_async)


def test_the_build_finds_the_version() -> None:
    """It reads the file with a regular expression, which would not match an annotated name."""
    found = BUILD_READS.search((Path(omipay_async.__file__).parent / "_version.py").read_text(encoding="utf-8"))
    assert found is not None
    assert found["version"] == omipay_async.__version__
