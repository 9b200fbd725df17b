"""What the command line says to people: English sentences, which are said in Chinese where ``OMIPAY_LANGUAGE`` is CHS.

Every sentence is made by :func:`sentence` and has a translation in ``chinese.py``. As a string it is English, so that
JSON and exceptions do not depend on the language; :func:`localized` is called where it is shown. What the library
itself says in its errors stays English.
"""

from __future__ import annotations

from typing import Any

from omipay_async.codes import Language
from omipay_async.language import language_of_environment

from .chinese import CHINESE
from .chinese_help import CHINESE_HELP


class Sentence(str):
    """An English sentence that knows how it was made, so that it can be said in another language."""

    template: str
    values: tuple[Any, ...]

    __slots__ = ("template", "values")

    def filled(self, *values: Any) -> Sentence:
        """The sentence with ``values`` in the places of its ``{}``."""
        return sentence(self.template, *values)


def sentence(template: str, *values: Any) -> Sentence:
    """``template`` with ``values``, which may be sentences too, in the places of its ``{}``."""
    made = Sentence(template.format(*values) if values else template)
    made.template, made.values = template, values
    return made


def localized(text: object) -> str:
    """``text`` in the language of ``OMIPAY_LANGUAGE`` if it is a sentence; anything else as it is."""
    if not isinstance(text, Sentence) or language_of_environment() is not Language.CHS:
        return str(text)
    said = CHINESE[text.template]
    values = (localized(value) if isinstance(value, Sentence) else value for value in text.values)
    return said.format(*values) if text.values else said


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
