"""Translates what the command line prints for people: to Chinese if ``OMIPAY_LANGUAGE`` is CHS, else it is English.

Every sentence is made by :func:`sentence` and has a translation in ``chinese.py``. As a string it is English, so that
JSON and exceptions do not depend on the language; :func:`localized` is called when it is printed. The messages of the
library's own errors are not translated.
"""

from __future__ import annotations

from typing import Any

from omipay_async.codes import Language
from omipay_async.language import language_of_environment

from .chinese import CHINESE
from .chinese_help import CHINESE_HELP


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


def localized(text: object) -> str:
    """``text`` in the language of ``OMIPAY_LANGUAGE`` if it is a sentence; anything else is not changed."""
    if not isinstance(text, Sentence) or language_of_environment() is not Language.CHS:
        return str(text)
    translation = CHINESE[text.template]
    values = (localized(value) if isinstance(value, Sentence) else value for value in text.values)
    return translation.format(*values) if text.values else translation


def localize_help(command: Any) -> Any:
    """``command``, which is one of Typer's, with its help texts in the language of ``OMIPAY_LANGUAGE``."""
    if language_of_environment() is not Language.CHS:
        return command
    for owner in (command, *command.params):
        parts = (owner.help or "").split("\n\n")
        owner.help = "\n\n".join(CHINESE_HELP.get(" ".join(part.split()), part) for part in parts)
    for each in getattr(command, "commands", {}).values():
        localize_help(each)
    return command
