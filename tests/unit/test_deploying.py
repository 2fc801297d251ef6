"""What runs a server elsewhere names only what there is, and lets nobody be root."""

from __future__ import annotations

import re
from pathlib import Path

from everbrook.cli.main import COMMANDS
from everbrook.http.rooms import operations
from everbrook.settings import Settings, describe
from everbrook.settings.source import NOT_SETTINGS


def _texts(repository: Path) -> dict[str, str]:
    names = ("Dockerfile", "deploy/everbrook.service")
    return {name: (repository / name).read_text(encoding="utf-8") for name in names}


def test_variables_and_commands_exist(repository: Path) -> None:
    known = {one.variable for one in describe(Settings).values()} | NOT_SETTINGS
    for name, text in _texts(repository).items():
        assert set(re.findall(r"\bEVERBROOK_[A-Z_]+\b", text)) <= known, name
        said = re.findall(r"(?:bin/everbrook|shop:/data everbrook|-p 8000:8000 everbrook) (\w+)", text)
        assert set(said) <= set(COMMANDS), name


def test_the_container_is_not_root_has_one_volume_and_is_asked_whether_it_is_ready(repository: Path) -> None:
    lines = _texts(repository)["Dockerfile"].splitlines()
    last = [line for line in lines[lines.index("FROM ${PYTHON}") :] if line and not line.startswith("#")]
    assert [line for line in last if line.startswith("USER")] == ["USER 10001:10001"]
    assert any("groupadd --gid 10001 " in line for line in last)
    assert any("useradd --uid 10001 " in line for line in last)
    assert [line for line in last if line.startswith("VOLUME")] == ["VOLUME /data"]
    assert any("/readyz" in line for line in last)
    assert "/readyz" in {one.path for one in operations()}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", "\n".join(lines), re.MULTILINE)
    assert copied
    assert all((repository / path).exists() for line in copied for path in line.split())


def test_the_container_compiles_its_kernels_where_they_are_looked_for_and_as_who_uses_them(repository: Path) -> None:
    lines = _texts(repository)["Dockerfile"].splitlines()
    told, user, compiled = (
        next(at for at, line in enumerate(lines) if piece in line)
        for piece in ("NUMBA_CACHE_DIR=/cache", "USER 10001", "RUN python /opt/everbrook/kernels.py")
    )
    assert told < user < compiled
    assert any(line.startswith("COPY --from=build /opt/everbrook ") for line in lines[:compiled])
    assert "COPY deploy/kernels.py /opt/everbrook/kernels.py" in lines[:compiled]


def test_what_compiles_the_kernels_asks_for_what_there_is(repository: Path) -> None:
    text = (repository / "deploy/kernels.py").read_text(encoding="utf-8")
    paths = {re.sub(r"\{[a-z_]+\}", "*", one.path) for one in operations()}
    asked = {re.sub(r"/items/i\d+", "/items/*", path) for path in re.findall(r'f?"(/[a-z][a-z0-9/]*)[?"]', text)}
    assert {"/v1/recommend", "/v1/events", "/v1/refit"} <= asked <= paths
    known = describe(Settings)
    assert set(re.findall(r"\b([a-z]+\.[a-z_]+)=", text)) <= set(known)


def test_the_service_has_few_rights_and_time_to_stop(repository: Path) -> None:
    text = _texts(repository)["deploy/everbrook.service"]
    for line in ("DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "Restart=on-failure"):
        assert line in text.splitlines()
    stop_s = re.search(r"TimeoutStopSec=(\d+)", text)
    assert stop_s is not None
    assert int(stop_s[1]) > Settings().serve.stop_timeout_s + 60  # and the learner's last checkpoint
