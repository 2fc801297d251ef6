"""A look over a data directory: what is wrong with it, and what to do. It changes nothing, also beside a server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from everbrook.engine.candidate_files import TRIAL
from everbrook.engine.experiments import Experiments
from everbrook.engine.keeping import FOLDER, learned_digest
from everbrook.engine.learner_checkpoints import PREFIX
from everbrook.engine.learner_journal import Journal
from everbrook.engine.learner_process import JOURNAL
from everbrook.engine.previous import FILE as PREVIOUS
from everbrook.engine.refit_process import FOLDER as REFIT
from everbrook.engine.refit_process import MODEL, WEIGHTS
from everbrook.errors import EverbrookError
from everbrook.events.erasing import Intents
from everbrook.events.log_checkup import Finding, log_troubles
from everbrook.events.log_directory import FORMAT_FILE, holder_of, prepare_directory
from everbrook.learn.checkpoints import check_folder
from everbrook.settings import Settings

UNENDED = ("*.half", "*.draft", "*.new")
LEAST_FREE_BYTES = 256 << 20
FREE_FOLD = 3.0  # of the last checkpoint, which is written beside the one before


class _Key(msgspec.Struct, frozen=True):
    """What a server must be able to read of a key; see `http/keys`."""

    id: str
    scopes: list[str]
    sha256: str
    name: str | None = None
    created_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at.

    Args:
        path: the data directory.
        settings: under which it would be opened.
        pid: of the process that holds it; None where nobody does.
    """

    path: Path
    settings: Settings
    pid: int | None


def look_over(path: Path, settings: Settings) -> list[Finding]:
    """Everything that was found, what is in order too.

    Args:
        path: the data directory.
        settings: under which it would be opened.
    """
    try:
        prepare_directory(path, create=False)
    except EverbrookError as error:
        return [Finding("wrong", "format", error.message, error.hint or f"Check that '{path}' is the right directory.")]
    patient = Patient(path, settings, holder_of(path))
    found = [Finding("fine", "format", f"'{FORMAT_FILE}' has the format of this version.")]
    for name, (fine, check) in CHECKS.items():
        troubles = list(_safely(name, check, patient))
        found += troubles or [Finding("fine", name, fine)]
    return found


def _safely(name: str, check: Check, patient: Patient) -> Iterator[Finding]:
    """A check that breaks is a finding too."""
    try:
        yield from check(patient)
    except (EverbrookError, OSError, ValueError, KeyError, TypeError) as error:
        if patient.pid is not None and isinstance(error, FileNotFoundError):
            return  # the server replaced the file while it was looked at
        told = error.message if isinstance(error, EverbrookError) else f"{type(error).__name__}: {error}"
        yield Finding("wrong", name, told, "Restore the file from a backup.")


def _lock(patient: Patient) -> Iterator[Finding]:
    if patient.pid is not None:
        yield Finding("note", "lock", f"Process {patient.pid} holds the directory: a server or a command is at work.")


def _log(patient: Patient) -> Iterator[Finding]:
    yield from log_troubles(patient.path)


def _checkpoints(patient: Patient) -> Iterator[Finding]:
    folder, digest = patient.path / FOLDER, learned_digest(patient.settings)
    of_server = [path for path in sorted(folder.glob("[0-9]*")) if path.is_dir() and not path.suffix]
    of_learner = [path for path in sorted(folder.glob(f"{PREFIX}*")) if path.is_dir() and not path.suffix]
    for paths, whose, dearer in (
        (of_server, "server's", "the next start reads the log from its beginning"),
        (of_learner, "learner's", "the learner's next start learns the log anew"),
    ):
        usable = 0
        for path in paths:
            try:
                index = check_folder(path)
            except EverbrookError as error:
                if patient.pid is not None and not path.exists():
                    continue  # the server has newer ones, and removed it while it was looked at
                yield Finding(
                    "wrong", "checkpoints", f"A checkpoint of the {whose} is damaged: {error.message}",
                    f"Remove the folder '{path}': everything in it can be learned from the log again.",
                )  # fmt: skip
                continue
            usable += index["notes"].get("settings") == digest
        if paths and not usable and any(path.exists() for path in paths):
            yield Finding(
                "note", "checkpoints",
                f"No checkpoint of the {whose} was made under these settings: {dearer}.",
                "Give --config and --set as the server gets them.",
            )  # fmt: skip


def _journal(patient: Patient) -> Iterator[Finding]:
    damage = Journal.look(patient.path / FOLDER / JOURNAL)
    if damage is not None:
        yield Finding(
            "wrong", "journal", f"The learner's journal is not whole: {damage}.",
            "Nothing is lost: what it leaves out is learned from the log, though cut at other places.",
        )  # fmt: skip


def _candidate(patient: Patient) -> Iterator[Finding]:
    from safetensors import SafetensorError, safe_open

    folder = patient.path / REFIT
    for name in (MODEL, WEIGHTS, TRIAL, PREVIOUS):
        file = folder / name
        if not file.exists():
            continue
        try:
            with safe_open(file, framework="numpy") as opened:
                for key in opened.keys():  # noqa: SIM118  it is no mapping
                    opened.get_tensor(key)
        except (SafetensorError, OSError, ValueError) as error:
            yield Finding(
                "wrong", "candidate", f"'{file}' cannot be read: {error}.",
                f"Remove the folder '{folder}' while no server runs: the model is fitted anew.",
            )  # fmt: skip


def _unended(patient: Patient) -> Iterator[Finding]:
    left = sorted(str(path.relative_to(patient.path)) for how in UNENDED for path in patient.path.rglob(how))
    if left and patient.pid is None:
        yield Finding(
            "note", "unended",
            f"A process ended while it wrote {', '.join(left[:5])}{' and more' if left[5:] else ''}.",
            "They are of no use and may be removed while no server runs.",
        )  # fmt: skip


def _deletions(patient: Patient) -> Iterator[Finding]:
    try:
        count = len(Intents(patient.path).pending())
    except EverbrookError as error:
        yield Finding("wrong", "deletions", error.message, error.hint or "Restore the file from a backup.")
        return
    if count and patient.pid is None:
        yield Finding(
            "wrong", "deletions", f"{count} deletion{'s' * (count > 1)} of people began and did not end.",
            "Start the server, or any command that opens the directory: it ends them first.",
        )  # fmt: skip


def _keys(patient: Patient) -> Iterator[Finding]:
    file = patient.path / "keys.json"
    try:
        msgspec.json.decode(file.read_bytes(), type=list[_Key])
    except FileNotFoundError:
        return
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        yield Finding(
            "wrong", "keys", f"'{file}' must hold keys as 'everbrook keys' writes them; it does not: {error}.",
            "A server refuses to start with it: restore it from a backup, or remove it and make the keys anew.",
        )  # fmt: skip
    if file.exists() and file.stat().st_mode & 0o077:
        yield Finding("wrong", "keys", f"'{file}' must be for its owner alone; others may read it.",
                      f"chmod 600 '{file}'")  # fmt: skip


def _experiments(patient: Patient) -> Iterator[Finding]:
    try:
        Experiments(patient.path)
    except EverbrookError as error:
        yield Finding(
            "wrong", "experiments", error.message,
            "Restore it from a backup, or remove it and start the experiments anew; until then lists go without.",
        )  # fmt: skip


def _space(patient: Patient) -> Iterator[Finding]:
    free = shutil.disk_usage(patient.path).free
    newest = max((path for path in (patient.path / FOLDER).glob("*") if path.is_dir()), default=None)
    size = sum(file.stat().st_size for file in newest.iterdir()) if newest is not None else 0
    wanted = max(LEAST_FREE_BYTES, int(FREE_FOLD * size))
    if free < wanted:
        yield Finding(
            "wrong", "space", f"At least {wanted >> 20} MiB must be free on the disk; {free >> 20} MiB are.",
            "Free some space: on a full disk new events are refused (503), though what was acknowledged stays.",
        )  # fmt: skip
    if not os.access(patient.path, os.W_OK):
        yield Finding("wrong", "space", f"'{patient.path}' must be writable for this user; it is not.",
                      "Change its owner, or run the server as its owner.")  # fmt: skip


Check = Callable[[Patient], Iterator[Finding]]
CHECKS: dict[str, tuple[str, Check]] = {
    "lock": ("Nobody holds the directory.", _lock),
    "log": ("The log's database and segments are whole, and every offset has one record.", _log),
    "checkpoints": ("The checkpoints are whole.", _checkpoints),
    "journal": ("The learner's journal is whole.", _journal),
    "candidate": ("The large models' files can be read.", _candidate),
    "unended": ("No half-written file lies about.", _unended),
    "deletions": ("No deletion of a person is under way.", _deletions),
    "keys": ("The keys' file is whole and for its owner alone, or not there.", _keys),
    "experiments": ("The experiments can be read, or there are none.", _experiments),
    "space": ("There is room on the disk.", _space),
}
"""What is looked at, and what is said where nothing was found."""


def is_healthy(found: list[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(one.level != "wrong" for one in found)


def as_json(path: Path, found: list[Finding]) -> bytes:
    """Everything for machines."""
    return msgspec.json.encode({
        "path": str(path), "healthy": is_healthy(found), "findings": [msgspec.structs.asdict(one) for one in found],
    })  # fmt: skip
