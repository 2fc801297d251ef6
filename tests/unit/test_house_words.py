"""Words: how errors are said, what the documents promise, and what they must not mention."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from house_tree import ROOT, files, none, tree

import everbrook
from everbrook import errors

ERRORS = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
SENTENCES = ERRORS - {"UnknownNameError"}  # which words its own sentence
END = re.compile(r"[.!?]['\"»”)]?$|…$")


def test_every_error_is_a_sentence() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {said!r}" for path in files() for line, said in _said(tree(path))
        if not _is_sentence(said)
    ]
    none(wrong)


def test_no_error_blames_with_empty_words() -> None:
    vague = re.compile(r"\b(invalid|illegal|bad value|oops|failed to|error occurred)\b", re.IGNORECASE)
    wrong = [f"{path.relative_to(ROOT)}:{line} {said!r}" for path in files() for line, said in _said(tree(path))
             if vague.search(said)]
    none(wrong)


def test_every_error_class_has_its_own_type_and_an_exit_code() -> None:
    kinds = [getattr(errors, name) for name in sorted(ERRORS)]
    types = [kind.type for kind in kinds]
    assert sorted(types) == sorted(set(types))
    assert all(0 < kind.exit_code < 126 and 400 <= kind.http_status < 600 for kind in kinds)


def test_the_changelog_has_this_version() -> None:
    assert f"## {everbrook.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_document_that_is_linked_exists() -> None:
    link = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)[^)]*\)")
    none(
        f"{path.relative_to(ROOT)}: {target}" for path in _documents()
        for target in link.findall(path.read_text(encoding="utf-8")) if not (path.parent / target).exists()
    )


def test_every_path_that_a_document_names_exists() -> None:
    name = re.compile(r"`((?:src|tests|bench|docs)/[\w./-]+)`")
    none(
        f"{path.relative_to(ROOT)}: {named}" for path in _documents()
        for named in name.findall(path.read_text(encoding="utf-8")) if not (ROOT / named).exists()
    )


def test_the_repository_is_of_this_machine_nowhere() -> None:
    told = re.compile(r"/work/|/root/|/home/\w+/|\.library\b")
    texts = [*files(), *_documents(), *(ROOT / "bench").rglob("*.py"), ROOT / "Makefile", ROOT / ".ci" / "run"]
    none(path for path in texts if told.search(path.read_text(encoding="utf-8")))


def _documents() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def _said(module: ast.Module) -> Iterator[tuple[int, str]]:
    """The first argument of every error of ours that is raised, with '{}' for what is filled in."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SENTENCES and node.args:
            said = _text(node.args[0])
            if said is not None:
                yield node.lineno, said


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{_text(node.left) or '{}'}{_text(node.right) or '{}'}"
    return None


def _is_sentence(said: str) -> bool:
    starts = said[:1].isupper() or said[:1] in "{'\"-"
    return starts and (END.search(said) is not None or said.endswith("{}"))
