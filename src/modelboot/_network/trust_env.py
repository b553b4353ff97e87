"""Which proxy a URL goes through, from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY as users know them."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str) -> str | None:
    """Return the proxy a request for a URL goes through.

    Args:
        url: http or https URL.

    Returns:
        URL of the proxy, with user:password if it has one; None to connect directly. NO_PROXY may hold host names
        (which cover their subdomains), addresses, networks such as 10.0.0.0/8, each with a port or without, and "*".
    """
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or parts.hostname is None:
        return None
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    exceptions = [entry.strip() for entry in proxies.get("no", "").split(",") if entry.strip()]
    # proxy_bypass adds what the system settings of macOS and Windows say.
    if any(_covers(entry, parts.hostname, port) for entry in exceptions) or proxy_bypass(parts.hostname):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _covers(entry: str, host: str, port: int) -> bool:
    """Tell whether one entry of NO_PROXY means a host and port."""
    name, _, own_port = entry.rpartition(":")
    if name and own_port.isdecimal() and (":" not in name or name.endswith("]")):
        if int(own_port) != port:
            return False
        entry = name
    if entry == "*":
        return True
    entry = entry.strip("[]").lstrip("*").lstrip(".").lower()
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:  # one of them is a name
        return bool(entry) and (host == entry or host.endswith(f".{entry}"))
