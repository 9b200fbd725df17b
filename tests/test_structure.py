"""The plan of the package: which module may import which, what each optional package is needed for, import costs."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

import omipay_async
from tests.support.untyped import untyped

ROOT = Path(omipay_async.__file__).parent
PACKAGE = "omipay_async"

# From the ground up: each folder may import from itself and from the rows below its own. The modules of the root are
# folders of their own here.
ROWS = (
    "codes text _version",
    "models language",
    "errors",
    "log",
    "clock events journal qr",
    "answers new_orders options",
    "protocol",
    "transport",
    "calls",
    "fulfilment",
    "polling",
    "api config",
    "composition",
    "session",
    "sql redis",
    "asgi",
    "fastapi aiohttp",
    "testing",
)
ROW = {name: number for number, row in enumerate(ROWS) for name in row.split()}
# The exceptions: what is imported inside of a function, or for type checkers alone.
LATE = {"testing": {"sandbox"}, "session": {"composition", "config"}}
FOR_TYPES = {"testing": {"sandbox"}}
SANDBOX_MAY_KNOW = {"clock", "codes", "errors", "language", "protocol.endpoints", "text"}

# Which module needs which package that is not Python's own; "late": only inside of a function.
THIRD_PARTY = {
    "h11": {"transport.connection", "transport.exchange"},
    "httpcore": {"transport.patches late"},
    "httpx": {
        "transport.client",
        "transport.connection",
        "transport.evidence",
        "transport.given_transports",
        "transport.network",
        "transport.patches",
        "transport.proxies",
        "transport.requests",
        "transport.sending",
        "transport.session_client",
        "transport.tls",
        "sandbox.transport",
        "sandbox.notifier late",
    },
    "cattrs": {"protocol.conversion late"},
    "redis": {"redis.backend late", "redis.clients late"},
    "sqlalchemy": {
        f"sql.{name}"
        for name in (
            [
                "books",
                "claims",
                "database",
                "dialect",
                "due_orders",
                "effects",
                "engines",
                "entries",
                "failures",
                "listening",
                "resolving",
                "tables",
            ]
        )
    }
    | {"sql"},
    "asyncpg": {"sql", "sql.engines", "sql.failures"},
    "aiosqlite": {"sql"},
    "greenlet": {"sql"},
    "fastapi": {"fastapi"},
    "aiohttp": {"aiohttp"},
    "starlette": {
        "fastapi",
        "sandbox",
        "sandbox.access",
        "sandbox.web.app",
        "sandbox.web.html",
        "sandbox.web.pay_page",
        "sandbox.web.dashboard",
    },
    "uvicorn": {"sandbox.server"},
    "segno": {"qr late", "sandbox", "sandbox.web.html"},
    "pytest": {"testing.fixtures"},
}
EVERYWHERE = {"attrs"}


class Import(NamedTuple):
    """What one import statement imports, and when: at once, inside of a function, or for type checkers alone."""

    target: str
    when: Literal["now", "late", "types"]


def is_for_type_checkers(node: ast.AST) -> bool:
    """Whether it is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def absolute(module: str, node: ast.ImportFrom, is_package: bool) -> str:
    """What a ``from`` imports from, written out."""
    if not node.level:
        return node.module or ""
    parts = f"{PACKAGE}.{module}".split(".") if module else [PACKAGE]
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def is_module(target: str) -> bool:
    """Whether it is a file of this package, not a name in one."""
    return (ROOT / f"{target.removeprefix(f'{PACKAGE}.').replace('.', '/')}.py").exists()


def imports_of(path: Path) -> list[Import]:
    """Every import in the module, wherever it stands."""
    is_package = path.name == "__init__.py"
    module = name_of(path)
    found: list[Import] = []

    def walk(node: ast.AST, when: Literal["now", "late", "types"]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend(Import(alias.name, when) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = absolute(module, child, is_package)
                names = [f"{base}.{alias.name}" for alias in child.names]
                found.extend(Import(target, when) for target in (names if all(map(is_module, names)) else [base]))
            if is_for_type_checkers(child):
                walk(child, "types")
            else:
                walk(child, "late" if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else when)

    walk(ast.parse(path.read_text(encoding="utf-8")), "now")
    return found


def name_of(path: Path) -> str:
    """``sandbox.ledger`` for ``sandbox/ledger.py``; a package by its own name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): imports_of(path) for path in sorted(ROOT.rglob("*.py"))}
CLIENT = [name for name in MODULES if name.split(".")[0] in ROW]
SANDBOX = [name for name in MODULES if name.split(".")[0] == "sandbox"]
CLI = [name for name in MODULES if name.split(".")[0] in {"cli", "__main__"}]


def own(name: str, *when: str) -> set[str]:
    """What a module imports of this package; at any time unless ``when`` is given."""
    targets = {found.target for found in MODULES[name] if not when or found.when in when}
    return {target.removeprefix(PACKAGE).removeprefix(".") for target in targets if target.split(".")[0] == PACKAGE}


def folders(names: set[str]) -> set[str]:
    """The folders that modules are in."""
    return {name.split(".")[0] for name in names}


def test_every_module_has_its_place() -> None:
    """A new module belongs in a row of the plan, in the sandbox or in the command line."""
    assert sorted(MODULES) == sorted(["", *CLIENT, *SANDBOX, *CLI])
    assert set(ROW) == {name.split(".")[0] for name in CLIENT}


@pytest.mark.parametrize("name", CLIENT)
def test_imports_run_one_way(name: str) -> None:
    """Each module imports only from the rows below it, also in functions and for type checkers."""
    folder = name.split(".", maxsplit=1)[0]
    known = folders(own(name, "now")) - {"", folder}  # "" is the version number
    assert {target: ROW[target] for target in known if ROW[target] >= ROW[folder]} == {}
    assert folders(own(name, "late")) - {folder} <= LATE.get(folder, set())
    for_types = folders(own(name, "types")) - {folder}
    assert {target for target in for_types if ROW.get(target, 99) >= ROW[folder]} <= FOR_TYPES.get(folder, set())


def test_no_modules_import_each_other() -> None:
    """There are no circles, not even of late imports or for type checkers."""
    graph = {name: own(name) - {"", name} for name in MODULES if name}  # the root hands out what all others define
    assert {"session", "sandbox.gateway", "cli.commands"} <= set(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("name", SANDBOX)
def test_the_sandbox_is_written_without_the_client(name: str) -> None:
    """It shares words, tables and the clock, but not checks, signing or decoding: both could have the same mistake."""
    known = {target for target in own(name, "now") if target.split(".")[0] != "sandbox"}
    assert known <= SANDBOX_MAY_KNOW
    late = {target for target in own(name, "late") if target.split(".")[0] != "sandbox"}
    assert late == ({""} if name == "sandbox.sandbox" else set())  # session() makes an AsyncOmipay


def test_the_sandbox_core_does_not_import_its_pages() -> None:
    """Only the module that composes the sandbox imports them."""
    for path in (ROOT / "sandbox").glob("*.py"):
        knows = {target for target in own(name_of(path)) if target.startswith("sandbox.web")}
        assert knows == ({"sandbox.web.app"} if path.stem == "sandbox" else set()), path.name


def test_only_the_edges_import_the_sandbox_or_the_command_line() -> None:
    """The client needs neither."""
    for name in CLIENT:
        above = folders(own(name))
        assert not above & {"cli", "__main__"}
        assert "sandbox" not in above or name in {"testing.fixtures", "testing.reconciliation"}
    assert not any(target.startswith("cli") for name in SANDBOX for target in own(name, "now"))


def test_each_third_party_package_is_imported_only_where_it_belongs() -> None:
    """httpx has one place in the client, and an extra is imported by the modules that users import for it."""
    found: dict[str, set[str]] = {}
    known = sys.stdlib_module_names | {"annotationlib"} | EVERYWHERE | {PACKAGE}  # that module is new in Python 3.14
    for name in CLIENT + SANDBOX:
        for target, when in MODULES[name]:
            package = target.split(".")[0]
            if when != "types" and package not in known:
                found.setdefault(package, set()).add(f"{name} late" if when == "late" else name)
    assert found == THIRD_PARTY
    assert {name for name in CLI for found in MODULES[name] if found[:1] == ("httpx",)} <= {"cli.doctor"}


@pytest.mark.parametrize("modules", ["omipay_async", "omipay_async.testing", "omipay_async.errors, omipay_async.codes"])
def test_importing_costs_next_to_nothing(modules: str) -> None:
    """It loads no httpx, time zones, extras or client: the pytest plugin is loaded in every suite of its users."""
    heavy = {"httpcore", "zoneinfo", "tzdata", "typer", "rich", *THIRD_PARTY} - {"pytest"}
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "omipay_async" in loaded
    assert not heavy & {module.split(".")[0] for module in loaded}
    assert f"{PACKAGE}.session" not in loaded


def test_the_name_of_the_session_loads_no_http_library() -> None:
    """What only a session needs is loaded when the first one is made."""
    code = "import sys; from omipay_async import AsyncOmipay; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert f"{PACKAGE}.session" in loaded
    assert not {"asyncio", "httpx", f"{PACKAGE}.composition"} & set(loaded)


# -- the public names -------------------------------------------------------------------------------------------------


def test_the_public_names_are_sorted_and_each_can_be_imported() -> None:
    """``from omipay_async import NAME`` gives the object that its own module defines."""
    names = untyped(omipay_async).__all__
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    for name, home in omipay_async._HOMES.items():
        assert getattr(omipay_async, name) is getattr(importlib.import_module(f"{PACKAGE}.{home}"), name)


def test_type_checkers_see_the_same_names() -> None:
    """Their list must be written out; the other one is derived from it."""
    tree = ast.parse(Path(omipay_async.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if is_for_type_checkers(node))
    seen = {
        alias.name: node.module for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == omipay_async._HOMES


def test_a_star_import_gives_type_checkers_the_names_too() -> None:
    """A computed ``__all__`` that they see would hide every name from them; at run time it names them all."""
    tree = ast.parse(Path(omipay_async.__file__).read_text(encoding="utf-8"))
    seen = [
        name.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for name in ast.walk(node.targets[0])
        if isinstance(name, ast.Name)
    ]
    assert "__all__" not in seen
    names: dict[str, object] = {}
    exec("from omipay_async import *", names)
    assert set(dir(omipay_async)) <= set(names)


def test_every_error_and_every_reply_is_a_public_name() -> None:
    """Every class of which users get objects can be imported from the package."""
    for home in ("errors", "models", "new_orders", "codes"):
        module = importlib.import_module(f"{PACKAGE}.{home}")
        defined = {n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__}
        assert {n for n in defined if not n.startswith("_")} - {"Phase"} <= set(dir(omipay_async))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """With Python's usual message, so that ``hasattr`` and IDEs work."""
    with pytest.raises(AttributeError, match="module 'omipay_async' has no attribute 'Nothing'"):
        _ = untyped(omipay_async).Nothing
    assert dir(omipay_async) == untyped(omipay_async).__all__


def test_every_module_states_its_rule() -> None:
    """It has a docstring."""
    for path in ROOT.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


@pytest.mark.parametrize("folder", sorted(path.parent for path in ROOT.rglob("__init__.py")))
def test_every_folder_says_what_its_modules_are(folder: Path) -> None:
    """Its own docstring names each of them, and each folder within it."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert text is not None
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert {name for name in modules if not name.startswith("_")} - set(re.findall(r"``(\w+)``", text)) == set()


def test_every_suppression_gives_its_reason() -> None:
    """There are few of them."""
    found = [
        line.strip()
        for path in [*ROOT.rglob("*.py"), *Path(__file__).parent.rglob("*.py")]
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search("# (type: ignore|noqa)", line) and path != Path(__file__)
    ]
    assert [line for line in found if not re.search(r"# (noqa: \w+ - |type: ignore\[[\w-]+\]  # )\w", line)] == []
    assert len(found) <= 41


# -- the tests themselves ---------------------------------------------------------------------------------------------

TESTS = Path(__file__).parent
LONGEST_FILE = 400
SHARED_LINES = 10


def lines_that_count(path: Path) -> list[str]:
    """A file without white space, comments, lone brackets and imports: what a fixture or a helper could hold."""
    text = path.read_text(encoding="utf-8")
    imports = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    stripped = [line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in imports]
    return [line for line in stripped if re.search(r"\w", line) and not line.startswith("#")]


def test_no_file_is_long() -> None:
    """A file answers one question."""
    lengths = {
        str(path): len(path.read_text(encoding="utf-8").splitlines())
        for folder in (ROOT, TESTS)
        for path in folder.rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_two_test_files_share_ten_lines() -> None:
    """What several files need is in a fixture or a helper."""
    seen: dict[tuple[str, ...], Path] = {}
    pairs = set()
    for path in sorted(TESTS.rglob("*.py")):
        lines = lines_that_count(path)
        for start in range(len(lines) - SHARED_LINES + 1):
            first = seen.setdefault(tuple(lines[start : start + SHARED_LINES]), path)
            if first != path:
                pairs.add((str(first.relative_to(TESTS)), str(path.relative_to(TESTS)), lines[start]))
    assert sorted(pairs) == []
