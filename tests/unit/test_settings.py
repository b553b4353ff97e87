"""The environment becomes settings: defaults, accepted and refused forms, folders of each platform."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from modelboot._network.trust_env import read_trust_env, trust_env_origins
from modelboot._settings import Settings, directories, directory, origins, read_settings
from modelboot.errors import SettingsError

SWITCHES = {"0": False, "no": False, "OFF": False, "false": False, "1": True, "yes": True, "on": True, "True": True}
ACCEPTED: list[tuple[str, str, str, object]] = [
    *(("MODELBOOT_OFFLINE", "offline", text, value) for text, value in SWITCHES.items()),
    ("MODELBOOT_REQUIRE_HASH", "require_hash", "1", True),
    ("MODELBOOT_INDEX", "use_index", "0", False),
    ("MODELBOOT_CACHE", "use_cache", "0", False),
    ("MODELBOOT_PROGRESS", "progress", "0", False),
    ("MODELBOOT_PROGRESS", "progress", "Auto", None),
    ("MODELBOOT_WHEELHOUSE", "wheelhouse", "/a", (Path("/a"),)),
    ("MODELBOOT_WHEELHOUSE", "wheelhouse", f"/a {os.pathsep}{os.pathsep} /b", (Path("/a"), Path("/b"))),
    ("MODELBOOT_WHEELHOUSE", "wheelhouse", os.pathsep, ()),
    ("MODELBOOT_BASE_URL", "mirrors", "https://mirror/tree/", ("https://mirror/tree",)),
    ("MODELBOOT_BASE_URL", "mirrors", "http://user:pw@mirror:8080", ("http://user:pw@mirror:8080",)),
    ("MODELBOOT_BASE_URL", "mirrors", "file:///a  https://{name}/{file}", ("file:///a", "https://{name}/{file}")),
    ("MODELBOOT_TOKEN", "token", "ab~c", "ab~c"),
    ("MODELBOOT_PINS", "pins", "/a/../pins.txt", Path("/pins.txt")),
    ("MODELBOOT_TARGET", "target", "/a/../b/", Path("/b")),
    ("MODELBOOT_HOME", "home", "/store", Path("/store")),
    ("MODELBOOT_TIMEOUT", "timeout_s", "0.5", 0.5),
    ("MODELBOOT_TIMEOUT", "timeout_s", "1e300", 2e6),
    ("MODELBOOT_DEADLINE", "deadline_s", " 60 ", 60.0),
    ("MODELBOOT_RETRIES", "retries", "0", 0),
    ("MODELBOOT_RETRIES", "retries", "12", 12),
]
SECONDS = "a number of seconds above 0"
MIRRORS = "an http, https or file URL, or several separated by spaces"
FOLDER = "a folder (~ only where there is a home folder)"
CERTIFICATES = "a file or folder of PEM certificates"
REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "MODELBOOT_OFFLINE": ("0 or 1", ("2", "auto", "y", "-1")),
    "MODELBOOT_INDEX": ("0 or 1", ("none",)),
    "MODELBOOT_PROGRESS": ("0, 1 or auto", ("2", "bar")),
    "MODELBOOT_TIMEOUT": (SECONDS, ("0", "-0.1", "NaN", "inf", "-inf", "30s")),
    "MODELBOOT_DEADLINE": (SECONDS, ("-1",)),
    "MODELBOOT_RETRIES": ("a whole number from 0 up", ("-1", "1.0", "many", "3 # four")),
    "MODELBOOT_BASE_URL": (
        MIRRORS,
        ("mirror", "//mirror", "ftp://mirror/tree", "https://", "http://:80", "https://mirror:none", "file:///{x}"),
    ),
    "MODELBOOT_TARGET": (FOLDER, ("~no-such-user/a",)),
    "MODELBOOT_HOME": (FOLDER, ("~no-such-user/a",)),
    "MODELBOOT_WHEELHOUSE": (f"{FOLDER}, or several separated by {os.pathsep!r}", ("~no-such-user/a",)),
    "REQUESTS_CA_BUNDLE": (CERTIFICATES, ("~no-such-user/a",)),
    "CURL_CA_BUNDLE": (CERTIFICATES, ("~no-such-user/a",)),
}


@pytest.mark.parametrize(("variable", "setting", "text", "value"), ACCEPTED)
def test_variable_accepted(variable: str, setting: str, text: str, value: object) -> None:
    """An accepted form is read as its value, of the right type."""
    read = getattr(read_settings({variable: text}), setting)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("variable", "text"), [(variable, text) for variable in REFUSED for text in REFUSED[variable][1]]
)
def test_variable_refused(variable: str, text: str) -> None:
    """A form that cannot be used is refused, naming the variable, the value and the accepted form."""
    with pytest.raises(SettingsError, match=f"^{variable}=") as caught:
        read_trust_env(read_settings({variable: text}), {variable: text})
    refusal = caught.value
    assert (refusal.variable, refusal.value, refusal.accepted) == (variable, text, REFUSED[variable][0])


@pytest.mark.parametrize("text", ["", "  "], ids=["empty", "blank"])
@pytest.mark.parametrize("variable", sorted({row[0] for row in ACCEPTED} | {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}))
def test_variable_empty(variable: str, text: str) -> None:
    """An empty variable counts as unset."""
    env = {variable: text}
    assert (read_settings(env), read_trust_env(Settings(), env)) == (read_settings({}), read_trust_env(Settings(), {}))


MISTYPED = (
    *("ftp://user:s3cret@mirror", "user:s3cret@mirror/tree", "htps//user:s3cret@mirror", "https://user:s3cret@[mirror"),
    *("https://user:s3cret/@mirror", "https://user:s3cret@mirror:none", "ftp://mirror?token=s3cret", "m?token=s3cret"),
)
SECRETS = [*(("MODELBOOT_BASE_URL", text) for text in MISTYPED), ("MODELBOOT_INDEX", MISTYPED[0])]
SECRETS += [("MODELBOOT_TOKEN", "s3cret of mine")]


@pytest.mark.parametrize(("variable", "text"), SECRETS)
def test_refused_value_with_a_secret(variable: str, text: str) -> None:
    """A secret in a value that is refused appears neither in the error nor in what a traceback prints of its cause."""
    with pytest.raises(SettingsError, match=variable) as caught:
        read_settings({variable: text})
    formatted = logging.Formatter().formatException((caught.type, caught.value, None))
    assert "s3cret" not in f"{formatted}{caught.value!r}"


def test_settings_shown_without_secrets() -> None:
    """Settings that are printed show neither the mirror's password nor the token."""
    env = {"MODELBOOT_BASE_URL": "https://user:s3cret@mirror", "MODELBOOT_TOKEN": "s3cret", "MODELBOOT_RETRIES": "7"}
    assert "retries=7" in repr(read_settings(env))
    assert "s3cret" not in repr(read_settings(env))


def test_folder_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tilde stands for the home folder, and a later chdir does not move a relative one, in a list as well."""
    monkeypatch.setenv("HOME", "/users/me")
    monkeypatch.chdir(tmp_path)
    settings = read_settings({"MODELBOOT_TARGET": "~/t", "MODELBOOT_WHEELHOUSE": f"../w{os.pathsep}~/w"})
    assert (settings.target, settings.wheelhouse) == (Path("/users/me/t"), (tmp_path.parent / "w", Path("/users/me/w")))
    assert read_settings({"MODELBOOT_TARGET": "t"}).target == tmp_path / "t"


@pytest.mark.parametrize(
    ("platform", "env", "home"),
    [
        ("linux", {}, "/users/me/.cache/modelboot"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache/modelboot"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/users/me/.cache/modelboot"),
        ("darwin", {"XDG_CACHE_HOME": "/cache"}, "/users/me/Library/Caches/modelboot"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/modelboot"),
        ("win32", {}, "/users/me/AppData/Local/modelboot"),
        ("linux", {"MODELBOOT_HOME": "/store", "XDG_CACHE_HOME": "/cache"}, "/store"),
    ],
    ids=str,
)
def test_home_of_a_platform(monkeypatch: pytest.MonkeyPatch, platform: str, env: dict[str, str], home: str) -> None:
    """The store lies where a platform's programs keep what they can fetch again."""
    monkeypatch.setenv("HOME", "/users/me")
    monkeypatch.setattr(sys, "platform", platform)
    assert read_settings(env).home == Path(home)


def test_home_of_a_user_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder has no store, which others could plant, and no .netrc; "~" is not a folder then."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # a user whom the user database does not know
    assert (read_settings({}).home, read_trust_env(Settings(), {}).netrc) == (None, None)
    with pytest.raises(SettingsError, match=r"^MODELBOOT_TARGET='~/models' is not a folder"):
        read_settings({"MODELBOOT_TARGET": "~/models"})


def in_force(env: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Tell what is in force in an environment, and where it came from."""
    return {**origins(read_settings(env), env), **trust_env_origins(env)}


@pytest.mark.parametrize(
    ("variable", "text", "shown"),
    [
        ("MODELBOOT_OFFLINE", "yes", "1"),
        ("MODELBOOT_WHEELHOUSE", f"/a{os.pathsep}/b/", f"/a{os.pathsep}/b"),
        ("MODELBOOT_WHEELHOUSE", f"/c#/wh{os.pathsep}/d?e/a@b", f"/c#/wh{os.pathsep}/d?e/a@b"),
        ("MODELBOOT_BASE_URL", "https://user:s3cret@mirror/tree/", "https://mirror/tree"),
        ("MODELBOOT_BASE_URL", "https://a:s3cret@m/t https://m/?key=s3cret", "https://m/t https://m/"),
        ("MODELBOOT_TARGET", "/t", "/t"),
        ("MODELBOOT_TOKEN", "s3cret", "set"),
        ("MODELBOOT_TIMEOUT", "0.5", "0.5"),
        ("MODELBOOT_DEADLINE", "60.0", "60"),
        ("MODELBOOT_PROGRESS", "1", "1"),
        ("HTTP_PROXY", "http://me:s3cret@proxy:3128", "http://proxy:3128"),
        ("HTTPS_PROXY", "me:s3cret@proxy:3128", "proxy:3128"),
        ("ALL_PROXY", "http://proxy", "http://proxy"),
        ("NO_PROXY", "localhost,10.0.0.0/8,.corp:80", "localhost,10.0.0.0/8,.corp:80"),
        ("SSL_CERT_FILE", "/ca.pem", "/ca.pem"),
        ("SSL_CERT_DIR", f"/certs{os.pathsep}/c#2", f"/certs{os.pathsep}/c#2"),
        ("REQUESTS_CA_BUNDLE", "/ca@home.pem", "/ca@home.pem"),
        ("CURL_CA_BUNDLE", "/ca.pem", "/ca.pem"),
        ("NETRC", "/net#rc", "/net#rc"),
        ("HF_ENDPOINT", "https://me:s3cret@hub/x", "https://hub/x"),
    ],
)
def test_origins_of_environment(variable: str, text: str, shown: str) -> None:
    """A variable that is set is told with what it means, without its password, and that it is the environment's."""
    assert in_force({variable: text})[variable] == (shown, "environment")


@pytest.mark.parametrize(
    ("env", "shown"),
    [
        ({}, None),
        ({"https_proxy": "http://lower"}, "http://lower"),
        ({"https_proxy": "http://lower", "HTTPS_PROXY": "http://upper"}, "http://lower"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://upper"}, None),
        ({"netrc": "/netrc"}, None),
    ],
    ids=["none", "lower", "both", "lower-empty", "not-a-proxy"],
)
def test_origins_in_lower_case(env: dict[str, str], shown: str | None) -> None:
    """Of the proxies' variables the one that counts is told."""
    values = [value for name, (value, _) in in_force(env).items() if not name.startswith("MODELBOOT_")]
    assert values == ([] if shown is None else [shown])


def test_folder_with_a_link(tmp_path: Path) -> None:
    """Links in a folder's path stay: what the user wrote is what is shown."""
    (tmp_path / "link").symlink_to(tmp_path)
    assert directory(tmp_path / "link" / "t") == tmp_path / "link" / "t"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param(f"/a{os.pathsep}/b", ("/a", "/b"), id="text"),
        pytest.param(["/a", Path("/b")], ("/a", "/b"), id="list"),
        pytest.param(iter(["/a", "/b"]), ("/a", "/b"), id="iterator"),
        pytest.param(Path(f"/a{os.pathsep}b"), (f"/a{os.pathsep}b",), id="path"),
    ],
)
def test_folders_of_an_argument(paths: Any, expected: tuple[str, ...]) -> None:  # noqa: ANN401 - every form there is
    """Several folders may come as one text or as any iterable; a path is one folder, with the separator in its name."""
    assert directories(paths) == (*map(Path, expected),)
