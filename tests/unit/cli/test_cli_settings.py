"""`everbrook settings`, and how the command line refuses."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from everbrook.cli.main import COMMANDS, build_parser, main
from everbrook.cli.recommending import wish
from everbrook.errors import BusyError, DataError, InputError, NotFoundError
from everbrook.settings import Settings, describe, load_settings


def test_every_setting_is_printed_with_value_unit_help_and_origin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--set", "serve.port=9"]) == 0
    told = capsys.readouterr().out
    for one in describe(Settings).values():
        assert f"  {one.name} = " in told
        assert one.help in told
    assert "  serve.port = 9 port number   (--set)" in told
    assert "  serve.backlog = 2048 connections   (default)" in told


def test_settings_as_json_are_complete(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERBROOK_SERVE_KEYS", "a-long-secret")
    assert main(["settings", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(describe(Settings))
    assert rows["serve.keys"]["value"] == "***"
    assert rows["serve.keys"]["from"] == "EVERBROOK_SERVE_KEYS"
    assert set(rows["serve.port"]) == {"name", "value", "unit", "help", "must", "from", "variable"}


def test_the_printed_file_is_a_settings_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--toml", "--set", "serve.port=9"]) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "everbrook.toml"
    path.write_text(printed, encoding="utf-8")
    assert load_settings(path, {}).settings == load_settings(None, {}, ["serve.port=9"]).settings
    everything = "\n".join(line.removeprefix("# ") for line in printed.splitlines() if " = " in line or line[:1] == "[")
    read = tomllib.loads("\n".join(line for line in everything.splitlines() if not line.endswith("= none")))
    assert set(read) == {name.split(".")[0] for name in describe(Settings)}


def test_only_what_is_named_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "serve.port", "log"]) == 0
    told = capsys.readouterr().out
    assert "serve.port" in told
    assert "[log]" in told
    assert "serve.host" not in told


def test_an_error_is_one_line_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--set", "serve.prt=1"]) == InputError.exit_code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("everbrook: Unknown setting 'serve.prt'. Did you mean 'serve.port'?")
    assert told.err.count("\n") == 1


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--debug", "--set", "serve.prt=1"]) == InputError.exit_code
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_config_file_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--config", str(tmp_path / "no.toml")]) == InputError.exit_code
    assert "must exist; got no such file." in capsys.readouterr().err


def test_the_variables_name_of_a_config_file_is_heeded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[serve]\nport = 77\n", encoding="utf-8")
    monkeypatch.setenv("EVERBROOK_CONFIG", str(path))
    assert main(["settings", "serve.port"]) == 0
    assert f"serve.port = 77 port number   ({path})" in capsys.readouterr().out


def test_an_unknown_command_ends_with_the_exit_code_of_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommends"]) == InputError.exit_code
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_tells_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert "--data DIR" in told
    assert "--set GROUP.NAME=VALUE" in told


def test_exit_codes_of_errors_are_distinct() -> None:
    codes = [kind.exit_code for kind in (InputError, DataError, NotFoundError, BusyError)]
    assert len(set(codes)) == len(codes)


def test_commands_on_a_missing_directory_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "fit", "recommend"):
        assert main([command, "--data", str(tmp_path / "none")]) == NotFoundError.exit_code
        told = capsys.readouterr().err
        assert "must exist; got no such directory. Make one: everbrook import FILE --data DIR" in told


@pytest.mark.parametrize("command", [["recommend"], ["similar", "i1"], ["trending"], ["explain", "i1"]])
def test_a_length_has_two_spellings_and_no_option_is_guessed_from_its_beginning(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parser = build_parser()
    assert parser.parse_args([*command, "--k", "3"]).k == parser.parse_args([*command, "-k", "3"]).k == 3
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([*command, "--dat", "shop"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --dat shop" in capsys.readouterr().err


def test_a_typed_text_of_the_command_line_is_the_wishs() -> None:
    assert wish(build_parser().parse_args(["recommend", "--user", "u1", "--query", "red shoes"])).query == "red shoes"
