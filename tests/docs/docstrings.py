"""Reads docstrings, and writes them as Markdown: the parts that the reference is made of."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def class_tree(kind: type[Any]) -> ast.ClassDef:
    """The source of a class, parsed."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    node = tree.body[0]
    assert isinstance(node, ast.ClassDef)
    return node


def attribute_docs(kind: type[Any]) -> dict[str, str]:
    """What stands in a string below each attribute of a class and of its bases of this package."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("omipay_async"):
            continue
        body = class_tree(base).body
        for node, after in itertools.pairwise(body):
            name = target_of(node)
            if name and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found[name] = inspect.cleandoc(str(after.value.value))
    return found


def target_of(node: ast.stmt) -> str | None:
    """The name that an assignment in a class body defines."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def properties(kind: type[Any]) -> dict[str, str]:
    """The public properties of a class, with the first sentence of each docstring."""
    return {
        name: first_paragraph(inspect.getdoc(value) or "")
        for name, value in inspect.getmembers(kind, lambda member: isinstance(member, property))
        if not name.startswith("_")
    }


def own_methods(kind: type[Any]) -> list[tuple[str, Any, str]]:
    """The public methods that this package gives a class: the name, the function, and what it does."""
    return [
        (name, value, first_paragraph(inspect.getdoc(value) or ""))
        for name, value in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and value.__module__.startswith("omipay_async")
    ]


def first_paragraph(text: str) -> str:
    """The text up to the first empty line, on one line."""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())


def markdown(docstring: str) -> str:
    """A docstring as Markdown: its code spans, and its sections as lists."""
    text = re.sub(r":(?:class|func|meth):`~?\.?([^`]+)`", r"`\1`", docstring).replace("``", "`")
    lines: list[str] = []
    in_section = False
    for line in text.splitlines():
        if re.fullmatch(r"(Raises|Args)( \(.*\))?:", line):
            lines.append(line.removesuffix(":").replace("Args", "Arguments"))
            lines.append("")
            in_section = True
        elif in_section and re.match(r"    \S", line):
            name, _, what = line.strip().partition(": ")
            lines.append(f"- `{name}`: {what}" if what else f"- {name}")
        elif in_section and line.startswith("     "):
            lines[-1] += f" {line.strip()}"
        else:
            in_section = in_section and not line.strip()
            lines.append(line)
    return "\n".join(lines)


def signature(name: str, function: Any) -> str:
    """``name(argument, *, option=default) -> result``, without annotations but the result's."""
    bound = inspect.signature(function)
    shown = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for key, parameter in bound.parameters.items()
        if key not in ("self", "cls")
    ]
    result = "" if bound.return_annotation is inspect.Signature.empty else f" -> {return_type(function)}"
    text = str(bound.replace(parameters=shown, return_annotation=inspect.Signature.empty))
    text = re.sub(r"<(\w+\.\w+): [^>]*>", r"\1", text)  # an enum's member, as it is written in a program
    return f"{name}{text}{result}".replace("'", '"')


def return_type(function: Any) -> str:
    """The annotation of the result as the source has it, whether it was evaluated or not."""
    text = inspect.signature(function).return_annotation
    if text is None or isinstance(text, str):
        return str(text)
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    assert node.returns is not None
    return ast.unparse(node.returns)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A Markdown table."""
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.replace('``', '`').replace('|', chr(92) + '|').split()) for cell in row)} |"
    yield ""
