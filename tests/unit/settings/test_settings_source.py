"""Where values come from, what wins, and how a wrong one is refused."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from everbrook.errors import SettingError
from everbrook.settings import Settings, describe, load_settings


def _refused(**sources: object) -> str:
    with pytest.raises(SettingError) as caught:
        load_settings(**{"environment": {}} | sources)  # type: ignore[arg-type]
    return caught.value.message


def _file(folder: Path, text: str) -> Path:
    path = folder / "everbrook.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_sources_every_value_is_the_default() -> None:
    loaded = load_settings(environment={})
    assert loaded.settings == Settings()
    assert set(loaded.origins) == set(describe(Settings))
    assert set(loaded.origins.values()) == {"default"}


def test_later_sources_win_and_are_named(tmp_path: Path) -> None:
    config = _file(tmp_path, "[serve]\nport = 1\nbacklog = 1\nstop_timeout_s = 1\n")
    environment = {"EVERBROOK_SERVE_BACKLOG": "2", "EVERBROOK_SERVE_STOP_TIMEOUT_S": "2"}
    loaded = load_settings(config, environment, ["serve.stop_timeout_s=3"])
    serve = loaded.settings.serve
    assert (serve.port, serve.backlog, serve.stop_timeout_s) == (1, 2, 3)
    assert loaded.origins["serve.port"] == str(config)
    assert loaded.origins["serve.backlog"] == "EVERBROOK_SERVE_BACKLOG"
    assert loaded.origins["serve.stop_timeout_s"] == "--set"


def test_of_two_assignments_the_later_wins() -> None:
    loaded = load_settings(environment={}, assignments=["serve.port=1", "serve.port=2"])
    assert loaded.settings.serve.port == 2


def test_a_wrong_type_says_what_must_be_and_what_was_got() -> None:
    said = _refused(assignments=["serve.backlog=many"])
    assert said == "Setting 'serve.backlog' must be an int >= 1; got 'many' from --set."


def test_a_value_out_of_range_is_refused_wherever_it_comes_from(tmp_path: Path) -> None:
    config = _file(tmp_path, "[serve]\nbacklog = 0\n")
    must = "Setting 'serve.backlog' must be an int >= 1; got"
    assert _refused(assignments=["serve.backlog=0"]) == f"{must} '0' from --set."
    assert _refused(environment={"EVERBROOK_SERVE_BACKLOG": "0"}) == f"{must} '0' from EVERBROOK_SERVE_BACKLOG."
    assert _refused(config=config) == f"{must} 0 from {config}."


def test_a_file_keeps_its_types(tmp_path: Path) -> None:
    config = _file(tmp_path, "[serve]\nbacklog = '7'\n")
    assert _refused(config=config) == f"Setting 'serve.backlog' must be an int >= 1; got '7' from {config}."


def test_an_unknown_name_gets_the_nearest_right_one() -> None:
    assert "Unknown setting 'serve.prt'. Did you mean 'serve.port'?" in _refused(assignments=["serve.prt=1"])
    assert "Unknown setting 'srve.port'. Did you mean 'serve.port'?" in _refused(assignments=["srve.port=1"])
    assert "Did you mean 'EVERBROOK_SERVE_PORT'?" in _refused(environment={"EVERBROOK_SERVE_PRT": "1"})


def test_variables_that_are_no_settings_are_left_alone() -> None:
    environment = {"EVERBROOK_DATA": "x", "EVERBROOK_DATA_DIR": "y", "EVERBROOK_CONFIG": "z", "HOME": "/"}
    assert load_settings(environment=environment).settings == Settings()


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.toml"
    assert _refused(config=missing) == f"Settings file '{missing}' must exist; got no such file."


@pytest.mark.parametrize("text", ["port = ", "[serve\n", "\x00"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, text: str) -> None:
    assert "must be TOML in UTF-8; got:" in _refused(config=_file(tmp_path, text))


def test_a_group_must_be_a_table(tmp_path: Path) -> None:
    config = _file(tmp_path, "serve = 3\n")
    assert _refused(config=config) == f"Settings group 'serve' must be a table like [serve]; got 3 from {config}."


def test_an_assignment_needs_an_equals_sign() -> None:
    assert _refused(assignments=["serve.port"]) == "--set must be given as group.name=value; got 'serve.port'."


def test_lists_are_given_with_commas_or_as_json() -> None:
    for text in ("one-long-key, another-key", '["one-long-key", "another-key"]'):
        loaded = load_settings(environment={}, assignments=[f"serve.keys={text}"])
        assert loaded.settings.serve.keys == ("one-long-key", "another-key")
    assert load_settings(environment={}, assignments=["serve.keys="]).settings.serve.keys == ()


def test_a_secret_is_not_repeated_in_the_refusal() -> None:
    assert "short" not in _refused(assignments=["serve.keys=short"])


def test_the_digest_changes_with_every_setting_but_where_the_door_stands() -> None:
    digest = Settings().digest()
    assert load_settings(environment={}, assignments=["serve.port=1"]).settings.digest() == digest
    assert load_settings(environment={}, assignments=["rank.reasons=3"]).settings.digest() != digest


def test_the_digest_does_not_depend_on_the_order_of_a_table() -> None:
    one = msgspec.structs.replace(Settings().state, kinds={"a": 1.0, "b": 2.0})
    two = msgspec.structs.replace(Settings().state, kinds={"b": 2.0, "a": 1.0})
    assert Settings(state=one).digest() == Settings(state=two).digest()


@pytest.mark.parametrize(
    ("name", "toml", "json"),
    [
        ("rank.seen_s", "{view = 2592000}", '{"view": 2592000}'),
        ("rank.seen_s", '{ "view" = 2592000.0, add-to-cart = 0 }', '{"view": 2592000.0, "add-to-cart": 0}'),
        ("state.kinds", "{ view = 1, 'not seen' = -1.5 }", '{"view": 1, "not seen": -1.5}'),
        ("mixture.experts", "['popularity', \"repeats\"]", '["popularity", "repeats"]'),
        ("rules.rules", "[{name = 'new', order = 'newest', limit = 5}]",
         '[{"name": "new", "order": "newest", "limit": 5}]'),
        ("rank.seen_s", "{}", "{}"),
    ],
)  # fmt: skip
def test_tables_and_lists_are_read_as_a_settings_file_has_them_and_as_json(
    tmp_path: Path, name: str, toml: str, json: str
) -> None:
    group, field = name.split(".")
    wanted = load_settings(_file(tmp_path, f"[{group}]\n{field} = {toml}\n"), {}).settings
    assert getattr(getattr(wanted, group), field) or toml == "{}"
    for text in (toml, json):
        assert load_settings(environment={}, assignments=[f"{name}={text}"]).settings == wanted
        variable = f"EVERBROOK_{group}_{field}".upper()
        assert load_settings(environment={variable: text}).settings == wanted


def test_lists_and_tables_are_taken_as_the_page_of_settings_shows_them(repository: Path) -> None:
    page = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `(.+?)` \| `([\[{].*?)` \|", page, re.MULTILINE)
    assert {"state.kinds", "rank.seen_s", "rules.rules", "mixture.experts"} <= {name for name, _ in shown}
    loaded = load_settings(environment={}, assignments=[f"{name}={text}" for name, text in shown])
    assert loaded.settings == Settings()
    assert {loaded.origins[name] for name, _ in shown} == {"--set"}


@pytest.mark.parametrize("text", ["{view = }", "{view = 1}\nmore = 2", "{view: 1}", '{"view": 1', "{view = 'x'}"])
def test_a_table_that_is_neither_toml_nor_json_is_refused(text: str) -> None:
    said = _refused(assignments=[f"rank.seen_s={text}"])
    assert said.startswith("Setting 'rank.seen_s' must be a table of numbers")
    assert said.endswith(f"; got '{text}' from --set.")
