"""Translates what the command line prints for people: to Chinese if ``OMIPAY_LANGUAGE`` is CHS, else it is English.

Every sentence is made by ``language.sentence`` and has a translation in ``chinese.py``; :func:`localized` is called
when it is printed. The messages of the library's own errors are not translated.
"""

from __future__ import annotations

from typing import Any, Final

from omipay_async.codes import Language
from omipay_async.language import language_of_environment, translated

from .chinese import CHINESE
from .chinese_help import CHINESE_HELP


class _Translations(dict[str, str]):
    """The command line's sentences, and the sandbox's where ``verify`` says one: it is imported only then."""

    def __missing__(self, template: str) -> str:
        from omipay_async.sandbox.chinese import REMARKS

        return REMARKS[template]


_CHINESE: Final = _Translations(CHINESE)


def localized(text: object) -> str:
    """``text`` in the language of ``OMIPAY_LANGUAGE`` if it is a sentence; anything else is not changed."""
    return translated(text, _CHINESE) if language_of_environment() is Language.CHS else str(text)


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
