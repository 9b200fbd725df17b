"""The reference is written from the code, and is current."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

import omipay_async
from omipay_async import APIError, AsyncOmipay
from omipay_async.protocol.decoding import ERROR_CLASSES

from . import reference


def test_the_reference_is_current() -> None:
    """After a change of a docstring the page is written again: ``python -m tests.docs.reference``."""
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page()
    assert ":class:" not in reference.page()  # the markup of docstrings is not that of the page


def test_every_public_method_is_in_the_reference() -> None:
    """No method of the session is forgotten."""
    public = {name for name, _ in inspect.getmembers(AsyncOmipay, inspect.isroutine) if not name.startswith("_")}
    assert public == {name for names in reference.METHODS.values() for name in names}


@pytest.mark.parametrize("name", [name for name in dir(omipay_async) if name != "__version__"])
def test_every_public_name_is_in_the_reference(name: str) -> None:
    """Whatever can be imported from the top is explained."""
    assert name in reference.page()


@pytest.mark.parametrize("module", [module for module, _ in reference.MODULES.values()])
def test_what_an_extra_brings_is_in_the_reference(module: str) -> None:
    """Each public class and function of the module is explained under its full name."""
    members = vars(importlib.import_module(module))
    public = members.get("__all__") or [
        name for name, value in members.items() if getattr(value, "__module__", "") == module and name[0] != "_"
    ]
    explained = {name for name in public if inspect.isclass(members[name]) or inspect.isfunction(members[name])}
    headings = set(re.findall(rf"^### {module}\.(\w+)$", reference.page(), re.MULTILINE))
    assert headings >= explained - {"get_omipay"}
    assert headings <= set(public)


@pytest.mark.parametrize("heading", [*reference.RESULTS, "OrderStatus", "RefundStatus", "Error codes", "Events"])
def test_each_field_status_and_code_has_a_meaning(heading: str) -> None:
    """No row has an empty last cell."""
    section = re.split(rf"^#+ {heading}$", reference.page(), flags=re.MULTILINE)[1].split("\n#")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if not row.rstrip("|").split("|")[-1].strip()] == []


@pytest.mark.parametrize("kind", sorted(set(ERROR_CLASSES.values()), key=str))
def test_the_help_of_an_error_names_its_codes(kind: type[APIError]) -> None:
    """``help(PaymentDeclined)`` says which answers of the gateway it stands for, and where they are documented."""
    text = inspect.getdoc(kind) or ""
    missing = [code for code, of in ERROR_CLASSES.items() if of is kind and code not in text]
    assert (missing, "CN " in text) == ([], True)


@pytest.mark.parametrize("module", ["omipay_async", *(module for module, _ in reference.MODULES.values())])
def test_every_public_class_and_function_has_help(module: str) -> None:
    """Each has a docstring, and so has each of its public methods."""
    members = vars(importlib.import_module(module))
    names = members["__all__"] if "__all__" in members else [n for n, v in members.items() if is_of(v, module)]
    for name in names:
        value = getattr(importlib.import_module(module), name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert (value.__doc__ or "").strip(), name
        if inspect.isclass(value):
            methods = [key for key, member in vars(value).items() if key[0] != "_" and inspect.isfunction(member)]
            assert [key for key in methods if not inspect.getdoc(getattr(value, key))] == [], name


def is_of(value: object, module: str) -> bool:
    """Whether a class or function is the module's own and public."""
    return getattr(value, "__module__", "") == module and not getattr(value, "__name__", "_").startswith("_")
