"""The code version of an asset: a hash of the code, settings and contract that its data depends on.

Dagster shows an asset as out of date if its stored data was made with another code version. So the
hash covers only what can change the data. It excludes docstrings, names of steps, pictures and the
way a run is executed. The perk catalogue and the rule files are inputs with their own versions. How
a source is read is excluded as well: bronze is verbatim, whichever code fetched it.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import dagster as dg
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from traveltide_assets.schema.table import Table
from traveltide_assets.settings import Settings

_PACKAGE = "traveltide_assets"
# Modules around the computation: changing them changes no byte of a table.
_AROUND = ("defs", "settings", "resources", "contracts", "lake", "engines", "schema")
# An asset draws these for the UI. The report is made of them.
_PICTURES = f"{_PACKAGE}.report.charts"
# Declarations are hashed by value: the asset's own contract, and the settings that its code names.
_DECLARATIONS = ("tables", "config", "registry")
# Settings that say where and how something runs. They do not affect the result.
_OPERATIONAL = {
    "source", "lake", "publish", "publish_table", "home", "perks_file", "engine", "spark",
    "executor", "memory", "parallel_steps", "postgres", "automation", "serving", "sample",
    "api_key", "release", "lease", "scenario", "scenarios",
}  # fmt: skip
OWN_PARTS = ("code", "contract", "strategies")
"""The parts of a code version that are not settings."""

# Attributes that a strategy takes from the catalogue files, which are inputs of the asset.
_FROM_FILES = {"perks", "segments"}


def code_version(
    asset: dg.AssetsDefinition, settings: Settings, tables: Mapping[str, Table]
) -> str:
    """The code version of an asset: `code=1a2b3c4d contract=… seed=…`, one hash per part.

    Every setting that the asset's data depends on is a part.
    """
    function = inspect.unwrap(asset.op.compute_fn.decorated_fn)  # type: ignore[union-attr]
    code = _Code(function)
    paths = ["/".join(key.path) for key in sorted(asset.keys)]
    modules = _closure(code.modules - {_PICTURES})
    files = [_read(module).digest for module in sorted(modules)]
    if _PICTURES in modules:
        files += _digests_of_templates(Path(__file__).parents[1] / "report")
    parts = {
        "code": [*code.own, *files],
        "contract": [_contract(tables[path]) for path in paths if path in tables],
        "strategies": code.facts,
        **{name: [repr(attrgetter(name)(settings))] for name in sorted(_settings_named(function))},
    }
    return " ".join(f"{name}={_short_hash(part)}" for name, part in parts.items() if part)


def changed_parts(before: str | None, now: str | None) -> list[str]:
    """The names of the parts that differ; `code` if one of the versions has no parts."""
    if not before or not now:
        return ["code"]
    one, other = (dict(part.split("=") for part in each.split()) for each in (before, now))
    return sorted(name for name in one | other if one.get(name) != other.get(name))


def _short_hash(parts: Iterable[str]) -> str:
    return _hash_of("\n".join(parts).encode())[:8]


class _Code:
    """All code that a function uses: its own, its helpers', and that of strategies and modules."""

    def __init__(self, function: FunctionType) -> None:
        self.own: list[str] = []
        self.facts: list[str] = []
        self.modules: set[str] = set()
        self._seen: set[FunctionType] = set()
        self._add_function(function)

    def _add_function(self, function: FunctionType) -> None:
        if function in self._seen:
            return
        self._seen.add(function)
        self.own.append(_dump(function.__code__))
        for value in _referred_to(function):
            self._add(value, function.__module__)

    def _add(self, value: Any, where: str) -> None:
        if isinstance(value, Mapping):
            for each in value.values():
                self._add(each, where)
        elif isinstance(value, FunctionType) and value.__module__ == where:
            self._add_function(inspect.unwrap(value))
        elif isinstance(value, ModuleType):
            self.modules.add(value.__name__)
        elif isinstance(value, type | FunctionType):
            self.modules.add(value.__module__)
        elif type(value).__module__.startswith(_PACKAGE):
            self._add_instance(value)

    def _add_instance(self, value: Any) -> None:
        """Add a strategy or a step of the chain that a function was built for."""
        # Without what it has computed and kept since, such as a cached property.
        kept = {f.name for f in dataclasses.fields(value)} if is_dataclass(value) else vars(value)
        fields = {k: v for k, v in vars(value).items() if k in kept and k not in _FROM_FILES}
        functions = [v for v in fields.values() if isinstance(v, FunctionType)]
        if not functions:
            self.modules.add(type(value).__module__)
        for function in functions:
            self._add_function(inspect.unwrap(function))
        plain = {k: v for k, v in fields.items() if not isinstance(v, FunctionType)}
        self.facts.append(repr(plain))


def _referred_to(function: FunctionType) -> Iterator[Any]:
    """The globals that a function names, including inner functions, and its closure's values."""
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            yield function.__globals__[name]
    for cell in function.__closure__ or ():
        yield cell.cell_contents


def _names(code: CodeType) -> set[str]:
    inner = (_names(const) for const in code.co_consts if isinstance(const, CodeType))
    return {*code.co_names}.union(*inner)


def _settings_named(function: FunctionType) -> set[str]:
    """The settings that a function names, such as `seed`, `cohort` or `evidence.months`.

    If it passes the settings on as a whole: all settings that affect results.
    """
    nodes = list(ast.walk(_tree(function.__code__)))
    named = [n for n in nodes if isinstance(n, ast.Attribute) and _is_settings(n.value)]
    if sum(_is_settings(node) for node in nodes) > len(named):
        return set(Settings.model_fields) - _OPERATIONAL
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    inside = {
        id(n.value): f"{n.value.attr}.{n.attr}"
        for n in nodes
        if isinstance(n, ast.Attribute) and n.value in named and id(n) not in called
    }
    return {inside.get(id(n), n.attr) for n in named if n.attr not in _OPERATIONAL}


def _is_settings(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "settings"


def _contract(table: Table) -> str:
    columns = [(column.name, column.type, column.required) for column in table.columns]
    return repr((table.path, columns, table.key))


def _closure(modules: set[str]) -> set[str]:
    """Our own modules, with everything of ours they import, directly or indirectly."""
    found: set[str] = set()
    todo = [name for name in modules if _counts(name)]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [other for other in _read(name).imports if _counts(other)]
    return found


def _counts(module: str) -> bool:
    root, _, rest = module.partition(".")
    parts = rest.split(".")
    return root == _PACKAGE and parts[0] not in _AROUND and parts[-1] not in _DECLARATIONS


@dataclass(frozen=True)
class _Module:
    """A module's hash, docstrings left out, and the modules that its import statements name."""

    digest: str
    imports: frozenset[str]


@cache
def _read(module: str) -> _Module:
    # From the text rather than from what is loaded: a constant does not say where it comes from.
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    imports = frozenset(
        submodule if _is_module(submodule := f"{node.module}.{name.name}") else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(_PACKAGE)
        for name in node.names
    )
    return _Module(_hash_of(ast.dump(_without_docstrings(tree)).encode()), imports)


def _file(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{module} has no file")
    return Path(spec.origin)


@cache
def _is_module(name: str) -> bool:
    parent = _file(name.rpartition(".")[0])
    return parent.name == "__init__.py" and find_spec(name) is not None


def _digests_of_templates(folder: Path) -> list[str]:
    """A hash of every file of a folder that is no code, such as a template or a style sheet."""
    files = (file for file in sorted(folder.iterdir()) if file.is_file() and file.suffix != ".py")
    return [_hash_of(file.read_bytes()) for file in files]


def _hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# By the code: assets that a function builds are new functions each time, of the same code.
@cache
def _tree(code: CodeType) -> ast.Module:
    source = textwrap.dedent(inspect.getsource(code))
    return _without_docstrings(_parsed(source))


@cache
def _dump(code: CodeType) -> str:
    return ast.dump(_tree(code))


# Before Python 3.11.9, parsing fails now and then while another thread parses.
@retry(retry=retry_if_exception_type(SystemError), stop=stop_after_attempt(9), reraise=True)
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            body = [each for each in node.body if not _is_text(each)]
            node.body = body or [ast.Pass()]
    return tree


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
