"""How settings are read, and the messages for settings that cannot be."""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from runtime.settings import ROLES, Secret, Settings, SettingsError, is_guessable, load

NO_FILE = Path("no-such-directory/vigia.toml")
KEY = "k" * 32
URL = "postgresql://vigia:CANARY@db.example/vigia"


def read(environment: Mapping[str, str], toml: str = "", folder: Path | None = None) -> Settings:
    if folder is None:
        return load(environment, NO_FILE)
    file = folder / "vigia.toml"
    file.write_text(toml, encoding="utf-8")
    return load(environment, file)


def complaint(environment: Mapping[str, str], toml: str = "", folder: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        read(environment, toml, folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_a_file_and_variables_the_defaults_apply() -> None:
    settings = read({})

    assert settings == Settings()
    assert (settings.host, settings.port, settings.roles) == ("127.0.0.1", 3001, ROLES)
    assert settings.database_url is None
    assert settings.data_dir == Path(".vigia")


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIA_PORT", "4002")

    assert load(file=NO_FILE).port == 4002


def test_the_environment_goes_before_the_file_and_the_file_before_the_defaults(
    tmp_path: Path,
) -> None:
    toml = 'port = 4000\nhost = "0.0.0.0"\nroles = ["api", "alert"]'

    settings = read({"VIGIA_PORT": "4001"}, toml, tmp_path)

    assert settings.port == 4001
    assert settings.host == "0.0.0.0"
    assert settings.roles == ("api", "alert")
    assert settings.data_dir == Path(".vigia")


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert read({"VIGIA_PORT": "", "VIGIA_ADMIN_KEY": ""}, "port = 4000", tmp_path).port == 4000


@pytest.mark.parametrize("variable", ["VIGIA_DATABASE_URL", "VIGIA_DATABASE_URL_FILE"])
def test_an_empty_address_does_not_choose_the_embedded_database(
    variable: str, tmp_path: Path
) -> None:
    assert complaint({variable: ""}) == (
        f"{variable}: is empty; give the database's address, or unset the variable to use the "
        "embedded database"
    )
    found = read({variable: ""}, f'database_url = "{URL}"', tmp_path).database_url
    assert found is not None
    assert found.reveal() == URL


@pytest.mark.parametrize("below", ["", "data", "some/data"])
def test_a_file_where_the_data_directory_should_be_is_named(below: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    assert complaint({"VIGIA_DATA_DIR": str(file / below)}) == (
        f"VIGIA_DATA_DIR: {file} is a file; name a directory, which may not exist yet"
    )
    assert read({"VIGIA_DATA_DIR": str(tmp_path / "new" / "one")}).data_dir.name == "one"


def test_lists_are_separated_by_commas() -> None:
    settings = read(
        {"VIGIA_ROLES": "api, collect", "VIGIA_TRUSTED_PROXIES": "10.0.0.0/8,,fd00::/8 ,192.0.2.1"}
    )

    assert settings.roles == ("api", "collect")
    assert settings.trusted_proxies == ("10.0.0.0/8", "fd00::/8", "192.0.2.1")


def test_variables_of_other_programs_and_of_the_tests_are_ignored() -> None:
    assert read({"PATH": "/bin", "VIGIA": "x", "VIGIA_TEST_DATABASE_URL": "x"}) == Settings()


@pytest.mark.parametrize("field", ["admin_key", "secret_key", "database_url"])
def test_a_secret_may_come_from_a_file(field: str, tmp_path: Path) -> None:
    text = URL if field == "database_url" else KEY
    file = tmp_path / "secret"
    file.write_text(f"{text}\n")

    settings = read({f"VIGIA_{field.upper()}_FILE": str(file), f"VIGIA_{field.upper()}": ""})

    assert getattr(settings, field).reveal() == text


def test_a_secret_and_its_file_together_are_refused(tmp_path: Path) -> None:
    message = complaint({"VIGIA_ADMIN_KEY": KEY, "VIGIA_ADMIN_KEY_FILE": str(tmp_path / "key")})

    assert message == "VIGIA_ADMIN_KEY_FILE: VIGIA_ADMIN_KEY is set as well; keep one"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_secret_file_that_holds_no_secret_is_refused(
    content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    message = complaint({"VIGIA_SECRET_KEY_FILE": str(file)})

    assert message.startswith("VIGIA_SECRET_KEY_FILE: ")
    assert str(file) in message


@pytest.mark.parametrize("variable", ["VIGIA_", "VIGIA_FILE", "VIGIA_XYZZY", "VIGIA_PROT"])
def test_an_unknown_variable_is_named(variable: str) -> None:
    assert complaint({variable: "3001"}).startswith(f"{variable}: unknown setting")


def test_the_setting_that_was_probably_meant_is_named() -> None:
    words = complaint({"VIGIA_PROT": "3001"})
    assert words == "VIGIA_PROT: unknown setting; did you mean 'VIGIA_PORT'?"


def test_a_variable_in_small_letters_is_not_taken_for_another() -> None:
    assert (
        complaint({"VIGIA_port": "1"}) == "VIGIA_port: unknown setting; write the name in capitals"
    )


def test_an_unknown_setting_of_the_file_is_named(tmp_path: Path) -> None:
    assert complaint({}, "prot = 1", tmp_path).endswith(
        "vigia.toml: unknown setting 'prot'; did you mean 'port'?"
    )


@pytest.mark.parametrize("toml", ["port = ", "port = 1\nport = 2", "[port"])
def test_the_error_for_invalid_toml_names_the_file(toml: str, tmp_path: Path) -> None:
    assert complaint({}, toml, tmp_path).startswith(f"{tmp_path / 'vigia.toml'}: ")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape(str(tmp_path))):
        load({}, tmp_path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIGIA_PORT", "http"),
        ("VIGIA_PORT", "0"),
        ("VIGIA_PORT", "-1"),
        ("VIGIA_PORT", "65536"),
        ("VIGIA_ROLES", "api,cook"),
        ("VIGIA_ROLES", ","),
        ("VIGIA_DATABASE_URL", "mysql://db"),
        ("VIGIA_DATABASE_READ_URL", "db.example"),
        ("VIGIA_TRADING_DATABASE_URL", "http://db"),
        ("VIGIA_PUBLIC_URL", "monitor.example"),
        ("VIGIA_PUBLIC_URL", "https://"),
        ("VIGIA_PUBLIC_URL", "https://monitor.example/?a=b"),
        ("VIGIA_PUBLIC_URL", "https://two words"),
        ("VIGIA_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("VIGIA_TRUSTED_PROXIES", "proxy.example"),
        ("VIGIA_EGRESS_ALLOW", "10.0.0.0/33"),
        ("VIGIA_WATCHDOG_URL", "hc-ping.com/x"),
        ("VIGIA_WATCHDOG_INTERVAL", "often"),
        ("VIGIA_WATCHDOG_INTERVAL", "4m"),
        ("VIGIA_WATCHDOG_INTERVAL", "330s"),
        ("VIGIA_WATCHDOG_INTERVAL", "2d"),
        ("VIGIA_ADMIN_KEY", "k" * 31),
        ("VIGIA_ADMIN_KEY", "k" * 32 + "\x07"),
    ],
)
def test_a_malformed_variable_is_named_in_one_line(variable: str, value: str) -> None:
    assert complaint({variable: value}).startswith(f"{variable}: ")


@pytest.mark.parametrize(
    ("toml", "variable"),
    [
        ('port = "x"', "VIGIA_PORT"),
        ("port = true", "VIGIA_PORT"),
        ("[port]\na = 1", "VIGIA_PORT"),
        ('host = ""', "VIGIA_HOST"),
        ("host = 1", "VIGIA_HOST"),
        ("roles = [1]", "VIGIA_ROLES"),
        ("roles = []", "VIGIA_ROLES"),
        ("data_dir = 1", "VIGIA_DATA_DIR"),
        ("secret_key = [1]", "VIGIA_SECRET_KEY"),
        ("database_url = 5", "VIGIA_DATABASE_URL"),
        ("admin_key = 12345678901234567890123456789012345", "VIGIA_ADMIN_KEY"),
    ],
)
def test_a_malformed_setting_of_the_file_is_named(toml: str, variable: str, tmp_path: Path) -> None:
    assert complaint({}, toml, tmp_path).startswith(f"{variable}: ")


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('port = "x"', "VIGIA_PORT: must be a whole number"),
        ("host = 1", "VIGIA_HOST: must be a text in quotes"),
        ("roles = [1]", "VIGIA_ROLES: must be a list of texts in quotes"),
        ('egress_allow = "10.0.0.1/8"', "VIGIA_EGRESS_ALLOW: '10.0.0.1/8' is not a network; "),
        ('public_url = "http://[::1"', "VIGIA_PUBLIC_URL: has an invalid host or port"),
    ],
)
def test_the_error_says_what_to_write_in_plain_words(toml: str, said: str, tmp_path: Path) -> None:
    assert complaint({}, toml, tmp_path).startswith(said)


def test_the_error_about_a_secret_does_not_show_it() -> None:
    assert "CANARY" not in complaint({"VIGIA_DATABASE_URL": "mysql://CANARY"})
    assert "CANARY" not in complaint({"VIGIA_ADMIN_KEY": "CANARY"})


def test_the_error_for_a_short_admin_key_says_how_to_make_one() -> None:
    assert "openssl rand -hex 32" in complaint({"VIGIA_ADMIN_KEY": "k" * 31})


@pytest.mark.parametrize("key", ["k" * 32, "password" * 4, "0123456789" * 4, "abcab" * 8 + "abc"])
def test_a_key_that_repeats_itself_can_be_guessed(key: str) -> None:
    assert is_guessable(Secret(key))


@pytest.mark.parametrize(
    "make",
    [
        lambda: secrets.token_hex(16),
        lambda: secrets.token_urlsafe(32),
        lambda: "".join(secrets.choice("0123456789") for _ in range(40)),
        lambda: "an-admin-key-of-more-than-32-characters",
    ],
)
def test_a_random_key_or_a_sentence_is_not_guessable(make: Callable[[], str]) -> None:
    assert not any(is_guessable(Secret(make())) for _ in range(100))


def test_secrets_do_not_appear_in_repr_or_text() -> None:
    settings = read({"VIGIA_DATABASE_URL": URL, "VIGIA_ADMIN_KEY": "CANARY" * 6})
    secret = Secret("CANARY")

    shown = f"{settings} {settings!r} {secret} {secret!r} {[secret]}"
    assert "CANARY" not in shown
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)
    assert secret.reveal() == "CANARY"


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:3001"),
        ({"VIGIA_HOST": "0.0.0.0", "VIGIA_PORT": "80"}, "http://localhost:80"),
        ({"VIGIA_HOST": "::"}, "http://localhost:3001"),
        ({"VIGIA_HOST": "::1"}, "http://[::1]:3001"),
        ({"VIGIA_PUBLIC_URL": "https://monitor.example/"}, "https://monitor.example"),
        ({"VIGIA_PUBLIC_URL": "https://[2001:db8::1]:8443/x"}, "https://[2001:db8::1]:8443/x"),
    ],
)
def test_the_address_comes_from_host_and_port_unless_it_is_given(
    environment: dict[str, str], url: str
) -> None:
    assert read(environment).url == url
