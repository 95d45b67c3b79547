"""Whether a module that was imported is what its file says now, where Python has not written down which text it read.

A module's own code is gone once it has run; what it made is still there. So this tells of modules that make functions,
classes and constants and import others, and do nothing else: of any other it does not know.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple


class _UnknownError(Exception):
    """What a statement makes cannot be told from what is there, or is something else."""


class _Scope(NamedTuple):
    """What a module or a class made, and the code that its text is compiled to now."""

    names: Mapping[str, Any]
    code: CodeType
    module: ModuleType


def is_as_read(module: ModuleType, path: str) -> bool:
    """Whether a module certainly ran as its file is now; False where that cannot be told.

    >>> is_as_read(sys.modules["features"], "features.py")  # doctest: +SKIP
    True
    """
    try:
        with open(path, "rb") as file:
            text = file.read()
        tree = ast.parse(text, path)
        code = compile(text, path, "exec", dont_inherit=True)
        if module.__doc__ != ast.get_docstring(tree, clean=False):
            return False
        _check(tree.body, _Scope(vars(module), code, module), path)
    except (OSError, SyntaxError, ValueError, TypeError, RecursionError, _UnknownError):
        return False
    return True


def _check(body: list[ast.stmt], scope: _Scope, path: str) -> None:
    made: dict[str, ast.stmt | ast.alias] = {}
    for statement in body:
        made |= dict(_bound(statement))
    for name, value in scope.names.items():
        if name not in made and not _comes_by_itself(name, value, path):
            raise _UnknownError(name)
    for name, maker in made.items():
        if name not in scope.names:
            raise _UnknownError(name)
        if not _is_made_by(maker, scope.names[name], scope, path):
            raise _UnknownError(name)


def _comes_by_itself(name: str, value: object, path: str) -> bool:
    """What Python puts into modules and classes, and the modules of a package."""
    if isinstance(value, FunctionType) and value.__code__.co_filename == path:
        return False
    return isinstance(value, ModuleType) or (name.startswith("__") and name.endswith("__"))


def _bound(statement: ast.stmt) -> Iterator[tuple[str, ast.stmt | ast.alias]]:
    """The names that a statement gives, each with what says to what."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name, statement
    elif isinstance(statement, ast.Import):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0], alias
    elif isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name, ast.ImportFrom(statement.module, [alias], statement.level)
    elif isinstance(statement, ast.Assign) and all(isinstance(target, ast.Name) for target in statement.targets):
        for target in statement.targets:
            assert isinstance(target, ast.Name)
            yield target.id, statement
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        if statement.value is not None:
            yield statement.target.id, statement
    elif not (isinstance(statement, ast.Pass) or _is_text(statement) or _never_runs(statement)):
        raise _UnknownError(ast.dump(statement))


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _never_runs(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.If)
        and not statement.orelse
        and ast.unparse(statement.test) in ("__name__ == '__main__'", "TYPE_CHECKING", "typing.TYPE_CHECKING")
    )


def _is_made_by(maker: ast.stmt | ast.alias, value: Any, scope: _Scope, path: str) -> bool:
    if isinstance(maker, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return _is_function(maker, value, scope)
    if isinstance(maker, ast.ClassDef):
        return _is_class(maker, value, scope, path)
    if isinstance(maker, ast.alias):
        return sys.modules.get(maker.name if maker.asname else maker.name.partition(".")[0]) is value
    if isinstance(maker, ast.ImportFrom):
        return _is_imported(maker, value, scope)
    assert isinstance(maker, (ast.Assign, ast.AnnAssign)) and maker.value is not None
    return _is_literal(maker.value, value)


def _is_literal(node: ast.expr, value: object) -> bool:
    literal = ast.literal_eval(node)  # raises ValueError where it is none
    return type(literal) is type(value) and repr(literal) == repr(value)  # 1, 1.0 and True are equal


def _is_imported(maker: ast.ImportFrom, value: object, scope: _Scope) -> bool:
    (alias,) = maker.names
    name = "." * maker.level + (maker.module or "")
    try:
        source = resolve_name(name, scope.module.__package__) if maker.level else name
    except ImportError:
        return False
    there = getattr(sys.modules.get(source), "__dict__", {})
    return there.get(alias.name, sys.modules.get(f"{source}.{alias.name}")) is value


_WRAPPERS = {"staticmethod": "__func__", "classmethod": "__func__", "property": "fget"}


def _is_function(maker: ast.FunctionDef | ast.AsyncFunctionDef, value: Any, scope: _Scope) -> bool:
    for decorator in maker.decorator_list:
        if not (isinstance(decorator, ast.Name) and type(value).__name__ == decorator.id in _WRAPPERS):
            return False
        value = getattr(value, _WRAPPERS[decorator.id])
    if not isinstance(value, FunctionType) or value.__code__ != _code_of(maker, scope.code):
        return False
    named = [
        (arg.arg, default)
        for arg, default in zip(maker.args.kwonlyargs, maker.args.kw_defaults, strict=True)
        if default
    ]
    given, named_given = value.__defaults__ or (), value.__kwdefaults__ or {}
    return (
        len(given) == len(maker.args.defaults)
        and named_given.keys() == dict(named).keys()
        and all(_is_literal(node, one) for node, one in zip(maker.args.defaults, given, strict=True))
        and all(_is_literal(node, named_given[name]) for name, node in named)
    )


def _is_class(maker: ast.ClassDef, value: Any, scope: _Scope, path: str) -> bool:
    code = _code_of(maker, scope.code)
    if not isinstance(value, type) or code is None or maker.decorator_list or maker.keywords:
        return False
    bases = [vars(scope.module).get(ast.unparse(base)) for base in maker.bases] or [object]
    if list(value.__bases__) != bases or value.__doc__ != ast.get_docstring(maker, clean=False):
        return False
    _check(maker.body, _Scope(vars(value), code, scope.module), path)
    return True


def _code_of(maker: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, code: CodeType) -> CodeType | None:
    first = min([maker.lineno, *(decorator.lineno for decorator in maker.decorator_list)])
    found = (one for one in code.co_consts if isinstance(one, CodeType))
    return next((one for one in found if (one.co_name, one.co_firstlineno) == (maker.name, first)), None)
