"""The language in which this package's programs and pages speak with people: what ``OMIPAY_LANGUAGE`` says."""

from __future__ import annotations

import os

from .codes import Language


def language_of_environment() -> Language | None:
    """``Language.EN`` or ``Language.CHS``; None if ``OMIPAY_LANGUAGE`` is not set, or is neither."""
    wanted = os.environ.get("OMIPAY_LANGUAGE", "").strip()
    return Language(wanted) if wanted in set(Language) else None
