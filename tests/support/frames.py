"""The local variables in captured frames, as in Sentry: of an exception, or of a stack."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import omipay_async

ROOT = str(Path(omipay_async.__file__).parent)
TESTS = str(Path(__file__).parent.parent)


def shown_by(error: BaseException, *, everywhere: bool = False) -> list[str]:
    """Each frame of ours in the traceback of ``error`` and of what caused it: its name, and its variables' reprs.

    With ``everywhere``, the frames of other libraries too.
    """
    frames = []
    seen: BaseException | None = error
    while seen is not None:
        for frame, _ in traceback.walk_tb(seen.__traceback__):
            path = frame.f_code.co_filename
            if path.startswith(ROOT) or (everywhere and not path.startswith(TESTS)):
                frames.append(f"{frame.f_code.co_name} {frame.f_locals!r}")
        seen = seen.__cause__ or seen.__context__
    return frames


def shown_by_stack() -> list[str]:
    """Each frame of ours that is running now: its name, and its variables' reprs."""
    frames = (frame for frame, _ in traceback.walk_stack(sys._getframe(1)))
    return [f"{f.f_code.co_name} {f.f_locals!r}" for f in frames if f.f_code.co_filename.startswith(ROOT)]
