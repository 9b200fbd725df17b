"""The faults: mutmut's operators and two of ours, except in messages, in what only a type checker reads, and in the
values that the members of an enum get from ``enum.auto()``.

mutmut switches between copies of a function at run time, so it leaves out decorated functions and the tables of
modules. Here each mutant is a whole file, so they have mutants too.
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import NEVER_MUTATE_FUNCTION_NAMES, Mutation, MutationVisitor, deep_replace
from mutmut.mutation.mutators import OPERATORS_TYPE, mutation_operators
from mutmut.mutation.pragma_handling import get_ignored_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).parents[2]

# These are negated by mutmut already: `==`, `is` and `in` by their opposites, `not` by being left out.
_NEGATED_BY_MUTMUT = m.Comparison(
    comparisons=[m.ComparisonTarget(operator=m.OneOf(m.Equal(), m.NotEqual(), m.Is(), m.IsNot(), m.In(), m.NotIn()))]
) | m.UnaryOperation(operator=m.Not())
_FOR_TYPE_CHECKERS = m.Name("TYPE_CHECKING")
_STATEMENT = m.Expr(value=m.OneOf(m.Call(), m.Await(), m.Yield())) | m.Raise() | m.Return(value=None) | m.Del()
_TYPING_CALL = m.Call(func=m.Name(value=m.MatchIfTrue(lambda name: name in {"cast", "TypeVar", "ParamSpec"})))
_TYPING_BLOCK = m.If(test=_FOR_TYPE_CHECKERS)
_MESSAGE = m.Assign(targets=[m.AssignTarget(m.Name("message"))])
_MEANS_NOTHING = m.Assign(
    value=m.OneOf(m.Call(func=m.Attribute(value=m.Name("enum"), attr=m.Name("auto"))), _TYPING_CALL)
)
_LOG_CALL = m.Call(func=m.Attribute(value=m.Name("_log")))


def _drop(node: cst.BaseSmallStatement) -> Iterator[cst.CSTNode]:
    """Leave out a statement that is there for its effect."""
    if m.matches(node, _STATEMENT):
        yield cst.Pass()


def _negate(node: cst.If | cst.While | cst.CompIf) -> Iterator[cst.CSTNode]:
    """Take the other branch."""
    if not m.matches(node.test, _NEGATED_BY_MUTMUT | _FOR_TYPE_CHECKERS):
        inner = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.with_changes(test=cst.UnaryOperation(cst.Not(), inner))


_OPERATORS: Final[OPERATORS_TYPE] = [
    *mutation_operators,
    (cst.BaseSmallStatement, _drop),
    (cst.If, _negate),
    (cst.While, _negate),
    (cst.CompIf, _negate),
]


class _Visitor(MutationVisitor):
    """mutmut's visitor, which here also enters decorated functions."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef):
            return node.name.value in NEVER_MUTATE_FUNCTION_NAMES
        return m.matches(node, _TYPING_CALL | _LOG_CALL | _TYPING_BLOCK) or super()._skip_node_and_children(node)


@attrs.frozen
class Mutant:
    """One fault in one file."""

    path: str
    number: int  # among the mutants of this file
    text: str  # the whole file
    line: int
    was: str  # the lines that the fault changes, without the spaces around them
    now: str

    @property
    def name(self) -> str:
        """Its name for ``--mutant``."""
        return f"{self.path}#{self.number}"


def files(package: str) -> list[str]:
    """The modules of a sub-package, or the module of this name beside them, as paths from the root."""
    found = sorted((ROOT / "omipay_async" / package).rglob("*.py")) or [ROOT / f"omipay_async/{package}.py"]
    return [str(path.relative_to(ROOT)) for path in found]


def count(path: str) -> int:
    """How many mutants a module has."""
    return len(_mutations(path)[1])


def mutant(path: str, number: int) -> Mutant:
    """The mutant of this number."""
    module, mutations = _mutations(path)
    return applied(path, number, module, mutations[number])


def applied(path: str, number: int, module: cst.Module, change: Mutation) -> Mutant:
    """The module with this change."""
    changed = deep_replace(module, change.original_node, change.mutated_node)
    assert isinstance(changed, cst.Module)
    lines = list(difflib.unified_diff(module.code.splitlines(), changed.code.splitlines(), lineterm="", n=0))
    first = next(line for line in lines if line.startswith("@@")).split()[1].lstrip("-").split(",")[0]
    was, now = (" ".join(line[1:].strip() for line in lines[2:] if line[0] == sign) for sign in "-+")
    return Mutant(path, number, changed.code, int(first), was, now)


@cache
def _mutations(path: str) -> tuple[cst.Module, list[Mutation]]:
    return mutations_of(path, (ROOT / path).read_text(encoding="utf-8"))


def mutations_of(path: str, code: str) -> tuple[cst.Module, list[Mutation]]:
    """The parsed code, and its possible changes."""
    wrapper = MetadataWrapper(cst.parse_module(code))
    visitor = _Visitor(_OPERATORS, get_ignored_lines(path, code, wrapper))
    module = wrapper.visit(visitor)
    return module, [mutation for mutation in visitor.mutations if not _changes_nothing(mutation)]


def _changes_nothing(mutation: Mutation) -> bool:
    """Whether only a message is changed (a text with a space, or a call that loses one), or a value without meaning."""
    before, after = mutation.original_node, mutation.mutated_node
    if isinstance(before, cst.Call) and isinstance(after, cst.Call):
        kept = {id(argument.value) for argument in after.args}
        return any(_is_message(argument.value) for argument in before.args if id(argument.value) not in kept)
    return _is_message(before) or m.matches(before, _MESSAGE | _MEANS_NOTHING)


def _is_message(node: cst.CSTNode) -> bool:
    return m.matches(node, m.Name("message")) or " " in "".join(_literal(node))


def _literal(node: cst.CSTNode) -> Iterable[str]:
    match node:
        case cst.SimpleString():
            yield node.value
        case cst.FormattedString():
            yield from (part.value for part in node.parts if isinstance(part, cst.FormattedStringText))
        case cst.ConcatenatedString():
            yield from _literal(node.left)
            yield from _literal(node.right)
