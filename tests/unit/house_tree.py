"""The package's source as syntax trees, for the house tests."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "everbrook"

def none(wrong: Iterable[object]) -> None:
    """Fail with one line for each place that is wrong."""
    told = [str(one) for one in wrong]
    if told:
        pytest.fail(f"{len(told)} wrong:\n" + "\n".join(told), pytrace=False)


Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True)
class Place:
    """A definition and where it stands."""

    path: Path
    name: str  # dotted, within the file
    node: Definition
    owner: ast.ClassDef | None
    local: bool  # inside a function

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.node.lineno} {self.name}"

    @property
    def public(self) -> bool:
        """Whether nothing in the dotted name is private."""
        return not self.local and not any(part.startswith("_") for part in self.name.split("."))

    @property
    def lines(self) -> int:
        """From the def to the last line, without the docstring."""
        first = self.node.body[0]
        has_doc = ast.get_docstring(self.node, clean=False) is not None
        doc = (first.end_lineno or 0) - first.lineno + 1 if has_doc else 0
        return (self.node.end_lineno or 0) - self.node.lineno + 1 - doc


@cache
def files() -> tuple[Path, ...]:
    """Every source file."""
    return tuple(sorted(SOURCE.rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    """One file's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def definitions() -> tuple[Place, ...]:
    """Every function and class of the package."""
    return tuple(place for path in files() for place in _inside(path, tree(path), "", None, False))


def functions() -> Iterator[Place]:
    """Every function and method."""
    return (place for place in definitions() if isinstance(place.node, Function))


def classes() -> Iterator[Place]:
    """Every class."""
    return (place for place in definitions() if isinstance(place.node, ast.ClassDef))


def parameters(node: Function) -> list[str]:
    """The names of all parameters, without self and cls."""
    told = node.args
    names = [one.arg for one in (*told.posonlyargs, *told.args, *told.kwonlyargs)]
    names += [one.arg for one in (told.vararg, told.kwarg) if one is not None]
    return [name for name in names if name not in ("self", "cls")]


def decorators(node: Definition) -> set[str]:
    """The last names of the decorators: 'njit' for @numba.njit(cache=True)."""
    found = set()
    for one in node.decorator_list:
        target = one.func if isinstance(one, ast.Call) else one
        found.add(target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", ""))
    return found


def _inside(path: Path, parent: ast.AST, prefix: str, owner: ast.ClassDef | None, local: bool) -> Iterator[Place]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, Definition):
            name = f"{prefix}{node.name}"
            yield Place(path, name, node, owner, local)
            is_class = isinstance(node, ast.ClassDef)
            yield from _inside(path, node, f"{name}.", node if is_class else None, local or not is_class)
        else:
            yield from _inside(path, node, prefix, owner, local)
