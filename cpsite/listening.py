"""Addresses to listen on, from variables such as HOST."""

import socket

from environs import EnvError


def bare(host: str) -> str:
    """Return a host without the brackets that an IPv6 address may have."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def family(host: str) -> socket.AddressFamily:
    """Return the family of a host's first address. Raises OSError if it has none."""
    found = socket.getaddrinfo(bare(host), None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return found[0][0]


def require(variable: str, host: str) -> None:
    """Raise EnvError, with the name of the variable, if this machine cannot listen on `host`."""
    try:
        with socket.socket(family(host), socket.SOCK_STREAM) as trial:
            trial.bind((bare(host), 0))
    except (OSError, UnicodeError) as exc:
        problem = getattr(exc, "strerror", None) or "not a host"
        raise EnvError(f'Environment variable "{variable}" is no address here: {problem}') from exc


def address(host: str, port: int) -> str:
    """Return `host:port`, with an IPv6 address in brackets."""
    return f"[{bare(host)}]:{port}" if ":" in bare(host) else f"{host}:{port}"
