"""The public API of the package as text, one line for each thing that other people's programs can use.

    python -m tests.support.public_api

writes ``tests/public_api.txt``, with which a test compares the package. If you change a public name, a parameter, a
default, a return type, a field, a member of an enum or the errors in a docstring, write the file again: the commit
shows the difference, and the changelog should tell users.

A line holds no address, and nothing that differs between Python 3.11 and 3.15 or between versions of dependencies.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from omipay_async import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

PINNED = Path(__file__).parents[1] / "public_api.txt"
PACKAGE = "omipay_async"
MODULES = ("", ".sql", ".redis", ".asgi", ".fastapi", ".aiohttp", ".testing", ".sandbox")
SPECIAL = ("__call__", "__aenter__", "__aexit__")


def described() -> str:
    """The whole text."""
    return "".join(f"{line}\n" for suffix in MODULES for line in _module(importlib.import_module(PACKAGE + suffix)))


def _module(module: Any) -> Iterator[str]:
    yield f"== {module.__name__}"
    # A module without `__all__` has public what it defines itself.
    names = getattr(module, "__all__", None) or sorted(
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    )
    for name in names:
        if name == "__version__" or not name.startswith("_"):
            yield from _described(name, getattr(module, name))


def _described(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, type):
        yield from _class(name, value)
    elif inspect.isfunction(value) and value.__module__.startswith(PACKAGE):
        yield from _function(name, value, "")
    else:  # a constant, a dependency's object, a fixture of whatever class this pytest has
        yield name


def _class(name: str, kind: type) -> Iterator[str]:
    above = [each.__name__ for each in kind.__bases__ if each is not object and not each.__name__.startswith("_")]
    yield f"class {name}({', '.join(above)})"
    if issubclass(kind, enum.Enum):
        yield from (f"    {member.name} = {member.value!r}" for member in kind)
    elif "__init__" in _own_members(kind) and Protocol not in kind.__bases__:
        yield f"    __init__{_signature(kind.__init__)}"
    yield from _raised(inspect.cleandoc(kind.__doc__ or ""), "    ")
    if attrs.has(kind):
        types = annotations_of(kind)
        names = [field.name for field in attrs.fields(kind) if not field.name.startswith("_")]
        yield from (f"    {name}: {types[name]}" for name in names)
    for member, found in sorted(_own_members(kind).items()):
        if not _is_enum_member(kind, found) and (member in SPECIAL or not member.startswith("_")):
            yield from _member(member, found)


def annotations_of(kind: type) -> dict[str, str]:
    """The types of a class's fields as its source has them, those of its bases included."""
    # Not those of attrs, which print differently once reading a reply has resolved them.
    return {name: text for base in reversed(kind.__mro__) for name, text in inspect.get_annotations(base).items()}


def _is_enum_member(kind: type, found: Any) -> bool:
    return issubclass(kind, enum.Enum) and isinstance(found, kind)


def _own_members(kind: type) -> dict[str, Any]:
    """What the class and those that it stands on define, as far as they are this package's."""
    members: dict[str, Any] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith(PACKAGE):
            members |= vars(each)
    return members


def _member(name: str, found: Any) -> Iterator[str]:
    if isinstance(found, property):
        getter: Any = found.fget
        yield f"    property {name} -> {inspect.signature(getter).return_annotation}"
    elif isinstance(found, classmethod | staticmethod):
        yield from _function(name, found.__func__, f"    {type(found).__name__} ")
    elif inspect.isfunction(found):
        yield from _function(name, found, "    ")
    elif not inspect.ismemberdescriptor(found) and not inspect.isgetsetdescriptor(found):  # those are attrs' fields
        yield f"    {name} = {found!r}"


def _function(name: str, function: Any, before: str) -> Iterator[str]:
    word = "async def" if inspect.iscoroutinefunction(function) else "def"
    yield f"{before}{word} {name}{_signature(function)}"
    yield from _raised(inspect.cleandoc(function.__doc__ or ""), "        " if before else "    ")


class _Plain:
    """Text that ``inspect`` writes into a signature as it is."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parameters = [
        each.replace(annotation=_annotation(each.annotation), default=_default(each.default))
        for each in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=_annotation(signature.return_annotation)))


def _annotation(found: Any) -> Any:
    """As it is written; where it was evaluated, the names without their modules, which differ between versions."""
    if found is inspect.Signature.empty:
        return found
    if isinstance(found, str):
        return _Plain(found)
    return _Plain(re.sub(r"\b(?:\w+\.)+(?=\w)", "", inspect.formatannotation(found)))


def _default(found: Any) -> Any:
    """A value as it is; what shows an address, or is another package's, only says that it is there."""
    if found is inspect.Parameter.empty or isinstance(
        found, str | int | float | tuple | timedelta | RetryPolicy | None
    ):
        return found
    return _Plain("...")


def _raised(text: str, indent: str) -> Iterator[str]:
    """The errors that a docstring names where it says what is raised, in its section or in a sentence."""
    section = re.search(r"^Raises:\n((?:[ ]+.*\n?)+)", text, re.MULTILINE)
    lines = section[1].splitlines() if section else []
    heads = [line.split(":")[0] for line in lines if re.match(r" {4}\S", line)]
    sentences = re.findall(r"\bRaises (.+?)(?:\n\n|\Z)", text, re.DOTALL)
    found = [name for part in heads for name in re.findall(r"[A-Z]\w+", part)]
    found += [name for part in sentences for name in re.findall(r"``([A-Z][a-z]\w+)``", part)]
    if found:
        yield f"{indent}raises {', '.join(found)}"


if __name__ == "__main__":
    PINNED.write_text(described(), encoding="utf-8")
