"""Which certificate authorities an https server may be vouched for by."""

from __future__ import annotations

import importlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot.errors import SettingsError

if TYPE_CHECKING:
    from modelboot._settings import Settings

VARIABLES = "SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"


def trusted(settings: Settings) -> ssl.SSLContext:
    """Return the TLS context for downloads. Nothing switches verification off.

    Args:
        settings: The settings in force, whose `ca_bundle` is a file or folder of PEM certificates.

    Returns:
        A context that trusts the bundle when one is set; else what OpenSSL is told by SSL_CERT_FILE and SSL_CERT_DIR
        or finds on this system; else certifi's, where it is installed.

    Raises:
        SettingsError: The bundle cannot be read.
    """
    if settings.ca_bundle is None:
        context = ssl.create_default_context()
        return context if _system_has_any(context) else _with_certifi(context)
    variable, bundle = settings.ca_bundle
    try:
        if bundle.is_dir():
            return ssl.create_default_context(capath=str(bundle))
        return ssl.create_default_context(cafile=str(bundle))
    except OSError as error:  # ssl.SSLError is one
        accepted = "a file or folder of PEM certificates"
        raise SettingsError(variable=variable, value=str(bundle), accepted=accepted) from error


def _system_has_any(context: ssl.SSLContext) -> bool:
    """Tell whether OpenSSL has anything to trust. Certificates of a folder are read only when they are needed."""
    folder = ssl.get_default_verify_paths().capath  # None where there is no such folder
    return bool(context.get_ca_certs() or (folder and [*Path(folder).iterdir()]))


def _with_certifi(context: ssl.SSLContext) -> ssl.SSLContext:
    try:
        certifi = importlib.import_module("certifi")
    except ImportError:  # requests brings it, and spaCy requests
        return context
    context.load_verify_locations(cafile=certifi.where())
    return context
