"""Variables of other programs: which certificates, which .netrc, and no password in what is shown."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("named", "there", "found"),
    [
        (None, [], None),
        (None, [".netrc"], ".netrc"),
        (None, ["_netrc"], "_netrc"),
        ("", [".netrc"], ".netrc"),
        (" ~/other ", [".netrc", "other"], "other"),
        ("{home}/other", [".netrc", "other"], "other"),
        ("{home}/absent", [".netrc"], None),
    ],
)
def test_netrc(
    named: str | None, there: list[str], found: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It lies in the home folder under either name, or where NETRC says; one that is not there is none at all."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in there:
        (tmp_path / name).touch()
    env = {} if named is None else {"NETRC": named.format(home=tmp_path)}
    assert read_settings(env).trust_env.netrc == (found and tmp_path / found)
