"""Descriptions of faults and payment codes, in English and in Chinese."""

from __future__ import annotations

import attrs

from omipay_async.codes import Language


@attrs.frozen
class Description:
    """A sentence or two, in both languages of the gateway."""

    english: str
    chinese: str

    def in_language(self, language: Language) -> str:
        """The Chinese sentence for ``Language.CHS``, the English one for ``Language.EN``."""
        return self.chinese if language is Language.CHS else self.english
