"""Variables of other programs: which certificates, which .netrc, and no password in what is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelboot._settings import read_settings


@pytest.mark.parametrize("address", ["https://user:s3cret@hub", "https://user:s3cret@[hub"])
def test_settings_shown_without_the_hub(address: str) -> None:
    """What a debugger shows of the settings has no password of HF_ENDPOINT, whether that can be used or not."""
    assert "s3cret" not in repr(read_settings({"HF_ENDPOINT": address}))


def test_ca_bundle_of_two() -> None:
    """Of two bundles that of requests counts, as requests itself has it."""
    env = {"CURL_CA_BUNDLE": "/curl.pem", "REQUESTS_CA_BUNDLE": "/requests.pem"}
    assert read_settings(env).trust_env.ca_bundle == ("REQUESTS_CA_BUNDLE", Path("/requests.pem"))
    assert read_settings(env | {"REQUESTS_CA_BUNDLE": ""}).trust_env.ca_bundle == ("CURL_CA_BUNDLE", Path("/curl.pem"))


@pytest.mark.parametrize("name", [".netrc", "_netrc"])
def test_netrc_of_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """The file of either name in the home folder is found."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_settings({}).trust_env.netrc is None
    (tmp_path / name).touch()
    assert read_settings({}).trust_env.netrc == tmp_path / name


def test_netrc_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """NETRC names another file, below the home folder as well; one that is not there is none at all."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (".netrc", "other"):
        (tmp_path / name).touch()
    assert read_settings({"NETRC": str(tmp_path / "other")}).trust_env.netrc == tmp_path / "other"
    assert read_settings({"NETRC": " ~/other "}).trust_env.netrc == tmp_path / "other"
    assert read_settings({"NETRC": ""}).trust_env.netrc == tmp_path / ".netrc"
    assert read_settings({"NETRC": str(tmp_path / "absent")}).trust_env.netrc is None


def test_netrc_of_a_user_without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder has no such file."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert read_settings({}).trust_env.netrc is None
