"""The language in which this package's programs and pages speak with people, and text in more than one language.

The language is what ``OMIPAY_LANGUAGE`` says. A :class:`Sentence` is English where it is used as a string, so that
JSON and exceptions do not depend on the language; what shows it to people translates it with a table of templates.
A :class:`Description` has both languages, since it stands in a table that people read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs

from .codes import Language

if TYPE_CHECKING:
    from collections.abc import Mapping


def language_of_environment() -> Language | None:
    """``Language.EN`` or ``Language.CHS``; None if ``OMIPAY_LANGUAGE`` is not set, or is neither."""
    wanted = os.environ.get("OMIPAY_LANGUAGE", "").strip()
    return Language(wanted) if wanted in set(Language) else None


class Sentence(str):
    """An English sentence that keeps its template and values, so that it can be translated."""

    template: str
    values: tuple[Any, ...]

    __slots__ = ("template", "values")

    def filled(self, *values: Any) -> Sentence:
        """The sentence with ``values`` in place of its ``{}``."""
        return sentence(self.template, *values)


def sentence(template: str, *values: Any) -> Sentence:
    """``template`` with ``values``, which may be sentences too, in place of its ``{}``."""
    result = Sentence(template.format(*values) if values else template)
    result.template, result.values = template, values
    return result


def translated(text: object, table: Mapping[str, str]) -> str:
    """``text`` as ``table`` translates its template if it is a sentence; anything else is not changed.

    Raises KeyError for a sentence whose template is not in the table.
    """
    if not isinstance(text, Sentence):
        return str(text)
    translation = table[text.template]
    values = (translated(value, table) if isinstance(value, Sentence) else value for value in text.values)
    return translation.format(*values) if text.values else translation


@attrs.frozen
class Description:
    """A sentence or two, in both languages of the gateway."""

    english: str
    chinese: str

    def in_language(self, language: str) -> str:
        """The English sentence for ``Language.EN``, else the Chinese one: that is the gateway's default."""
        return self.english if language == Language.EN else self.chinese
