"""Docstrings: present on what is public, and true to the signature."""

from __future__ import annotations

import ast
import re

from house_tree import Function, Place, classes, decorators, definitions, files, functions, none, parameters, tree

SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Source|Example|Examples|Note|Notes):\s*$")
ENTRY = re.compile(r"^ {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*):")


def test_every_module_says_what_it_is() -> None:
    none(path for path in files() if not ast.get_docstring(tree(path)))


def test_everything_public_has_a_docstring() -> None:
    protocols = _names_of_protocols()
    missing = [
        str(place) for place in definitions()
        if place.public and not ast.get_docstring(place.node) and not _explained_elsewhere(place, protocols)
    ]
    none(missing)


def test_documented_arguments_are_those_of_the_signature() -> None:
    wrong = {}
    for place in definitions():
        told = _arguments(ast.get_docstring(place.node) or "")
        if strangers := [name for name in told if name not in _accepted(place)]:
            wrong[str(place)] = strangers
    none(f"{place}: {names}" for place, names in wrong.items())


def test_documented_arguments_stand_in_the_order_of_the_signature() -> None:
    wrong = []
    for place in functions():
        told = _arguments(ast.get_docstring(place.node) or "")
        if told != sorted(told, key=parameters(place.node).index):
            wrong.append(str(place))
    none(wrong)


def test_docstrings_do_not_repeat_defaults() -> None:
    copied = re.compile(r"[Dd]efaults to|\(default")
    told = [str(place) for place in definitions() if copied.search(ast.get_docstring(place.node) or "")]
    none(told)


def _names_of_protocols() -> set[str]:
    """Methods that a Protocol of ours documents; who implements them need not say it again."""
    found: set[str] = set()
    for place in classes():
        if _is_protocol(place.node):
            found |= {one.name for one in place.node.body if isinstance(one, Function) and ast.get_docstring(one)}
    return found


def _is_protocol(node: ast.ClassDef | None) -> bool:
    bases = [] if node is None else node.bases
    return any(getattr(base, "id", getattr(base, "attr", "")) == "Protocol" for base in bases)


def _explained_elsewhere(place: Place, protocols: set[str]) -> bool:
    if not isinstance(place.node, Function):
        return False
    told = decorators(place.node)
    if {"overload", "override", "setter"} & told or ("property" in told and _is_protocol(place.owner)):
        return True
    if place.owner is not None and place.node.name == "forward":  # torch's own verb
        return True
    return place.owner is not None and place.node.name in protocols


def _arguments(docstring: str) -> list[str]:
    names: list[str] = []
    inside = False
    for line in docstring.splitlines():
        if SECTION.match(line):
            inside = line.startswith("Args")
        elif inside and (entry := ENTRY.match(line)):
            names += [name.strip(" *") for name in entry[1].split(",")]
    return names


def _accepted(place: Place) -> list[str]:
    node = place.node
    if isinstance(node, Function):
        return parameters(node)
    names = [one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
    for one in node.body:
        if isinstance(one, Function) and one.name == "__init__":
            names += parameters(one)
    return names
