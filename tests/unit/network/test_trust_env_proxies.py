"""Which proxy a URL goes through."""

from __future__ import annotations

import os

import pytest

from modelboot._network.trust_env import proxy_for

HTTP, HTTPS = "http://release.example.com/x.whl", "https://release.example.com/x.whl"
PROXY, OTHER = "http://proxy:3128", "http://other:3128"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the proxies of the machine the tests run on."""
    for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)


def set_all(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Set variables."""
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, HTTP, None),
        ({}, HTTPS, None),
        ({"HTTP_PROXY": PROXY}, HTTP, PROXY),
        ({"http_proxy": PROXY}, HTTP, PROXY),
        ({"HTTP_PROXY": PROXY}, HTTPS, None),
        ({"HTTPS_PROXY": PROXY}, HTTPS, PROXY),
        ({"https_proxy": PROXY}, HTTPS, PROXY),
        ({"HTTPS_PROXY": PROXY}, HTTP, None),
        ({"https_proxy": PROXY, "HTTPS_PROXY": OTHER}, HTTPS, PROXY),
        ({"https_proxy": "", "HTTPS_PROXY": OTHER}, HTTPS, None),
        ({"HTTPS_PROXY": ""}, HTTPS, None),
        ({"ALL_PROXY": PROXY}, HTTP, PROXY),
        ({"all_proxy": PROXY}, HTTPS, PROXY),
        ({"ALL_PROXY": OTHER, "HTTPS_PROXY": PROXY}, HTTPS, PROXY),
        ({"HTTPS_PROXY": "proxy:3128"}, HTTPS, PROXY),
        ({"HTTPS_PROXY": "me:pw@proxy:3128"}, HTTPS, "http://me:pw@proxy:3128"),
        ({"HTTPS_PROXY": "https://proxy:3128"}, HTTPS, "https://proxy:3128"),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, HTTP, None),
        ({"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, HTTP, PROXY),
        ({"HTTPS_PROXY": PROXY, "REQUEST_METHOD": "GET"}, HTTPS, PROXY),
    ],
    ids=[
        "none-http", "none-https", "http-upper", "http-lower", "http-for-https", "https-upper", "https-lower",
        "https-for-http", "lower-wins", "lower-empty-wins", "empty", "all-upper", "all-lower", "scheme-beats-all",
        "no-scheme", "no-scheme-with-login", "https-proxy", "cgi-upper", "cgi-lower", "cgi-https",
    ],
)  # fmt: skip
def test_proxy(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str | None) -> None:
    """The variable of the URL's scheme counts, then ALL_PROXY; a header named Proxy of a CGI request does not."""
    set_all(monkeypatch, variables)
    assert proxy_for(url) == proxy


COVERED = [
    ("example.com", "http://example.com/"),
    ("example.com", "http://release.example.com/"),
    ("EXAMPLE.com", "http://release.Example.COM/"),
    (".example.com", "http://release.example.com/"),
    ("*.example.com", "http://release.example.com/"),
    ("*", "http://anything/"),
    ("a, *", "http://anything/"),
    (" a , example.com ,b", "http://example.com/"),
    ("a,,example.com,", "http://example.com/"),
    ("example.com:8080", "http://example.com:8080/"),
    ("example.com:80", "http://example.com/"),
    ("example.com:443", "https://example.com/"),
    ("example.com", "http://example.com:8080/"),
    ("*.example.com:8080", "http://release.example.com:8080/"),
    ("localhost", "http://localhost:5000/"),
    ("10.1.2.3", "http://10.1.2.3/"),
    ("10.1.2.3:80", "http://10.1.2.3/"),
    ("10.0.0.0/8", "http://10.1.2.3/"),
    ("10.1.2.3/8", "http://10.9.9.9/"),
    ("10.0.0.0/8:81", "http://10.1.2.3:81/"),
    ("::1", "http://[::1]/"),
    ("[::1]", "http://[::1]:81/"),
    ("[::1]:81", "http://[::1]:81/"),
    ("0:0:0:0:0:0:0:1", "http://[::1]/"),
    ("fd00::/8", "http://[fd12::1]/"),
]
NOT_COVERED = [
    ("", "http://example.com/"),
    (",", "http://example.com/"),
    (".", "http://example.com/"),
    ("example.com", "http://notexample.com/"),
    (".example.com", "http://notexample.com/"),
    ("*.example.com", "http://notexample.com/"),
    ("example.com", "http://example.com.evil.org/"),
    ("com.evil.org", "http://example.com/"),
    ("example.com:8080", "http://example.com/"),
    ("example.com:8080", "http://release.example.com:8081/"),
    ("example.com:80", "https://example.com/"),
    ("10.1.2.3", "http://10.1.2.30/"),
    ("10.1.2.3:81", "http://10.1.2.3/"),
    ("10.0.0.0/8", "http://11.1.2.3/"),
    ("10.0.0.0/8:81", "http://10.1.2.3/"),
    ("10.0.0.0/8", "http://[fd12::1]/"),
    ("10.0.0.0/99", "http://10.1.2.3/"),
    ("fd00::/8", "http://[fe80::1]/"),
    ("[::1]:81", "http://[::1]/"),
    ("http://example.com", "http://example.com/"),
]


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(("exceptions", "url"), COVERED)
def test_proxy_exception(monkeypatch: pytest.MonkeyPatch, variable: str, exceptions: str, url: str) -> None:
    """What NO_PROXY covers is asked directly, whichever variable names the proxy."""
    set_all(monkeypatch, {"HTTP_PROXY": PROXY, "ALL_PROXY": OTHER, variable: exceptions})
    assert proxy_for(url) is None


@pytest.mark.parametrize(("exceptions", "url"), NOT_COVERED)
def test_proxy_no_exception(monkeypatch: pytest.MonkeyPatch, exceptions: str, url: str) -> None:
    """What merely looks like an entry of NO_PROXY goes through the proxy."""
    set_all(monkeypatch, {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "NO_PROXY": exceptions})
    assert proxy_for(url) == PROXY


def test_proxy_login_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password of the proxy come with it, as they were written."""
    set_all(monkeypatch, {"HTTPS_PROXY": "http://me:p%40w@proxy:3128/"})
    assert proxy_for(HTTPS) == "http://me:p%40w@proxy:3128/"
