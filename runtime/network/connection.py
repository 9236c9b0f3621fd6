"""Connects to allowed addresses for protocols other than HTTP."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp.abc import ResolveResult

from runtime.network.egress import Egress, EgressError, Failure


async def connect(egress: Egress, host: str, port: int, *, timeout_s: float) -> socket.socket:
    """Return a connected socket, which the caller closes. Raises EgressError.

    The addresses of a name are tried in turn, each for an equal part of `timeout_s`. The guard
    checks the very address that the socket connects to, so that DNS rebinding cannot evade it.
    """
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await _addresses(egress, host, port)
            return await _first(egress, addresses, timeout_s / len(addresses))
    except TimeoutError:
        reason = f"no connection within {timeout_s:g} s"
        raise EgressError(Failure.TIMEOUT, reason) from None


async def check(egress: Egress, host: str, port: int, *, timeout_s: float) -> None:
    """Raise EgressError unless every address of a host is allowed.

    This is for libraries that connect by themselves. It is weaker than `connect`: the library looks
    the name up again, and the owner of the name can return another address by then.
    """
    try:
        async with asyncio.timeout(timeout_s):
            with _explaining_dns():
                addresses = await egress.resolver.addresses(host, port)
    except TimeoutError:
        raise EgressError(Failure.TIMEOUT, f"DNS: no answer within {timeout_s:g} s") from None
    for address in addresses:
        if not egress.guard.allows(address, port):
            raise EgressError(Failure.ADDRESS, egress.guard.refusal(address, port))


@contextmanager
def _explaining_dns() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EgressError(Failure.DNS, f"DNS: {error.strerror or 'no answer'}") from error
    except ValueError as error:
        # A label of the name is empty or too long.
        raise EgressError(Failure.DNS, "DNS: not a host name") from error


async def _addresses(egress: Egress, host: str, port: int) -> list[ResolveResult]:
    with _explaining_dns():
        return await egress.resolver.resolve(host, port)


async def _first(egress: Egress, addresses: list[ResolveResult], timeout_s: float) -> socket.socket:
    """Connect to the first address that accepts; raise the error of the last one if none does."""
    failure = EgressError(Failure.DNS, "DNS: no address")
    for address in addresses:
        try:
            return await _connect(egress, address, timeout_s)
        except EgressError as error:
            failure = error
    raise failure


async def _connect(egress: Egress, address: ResolveResult, timeout_s: float) -> socket.socket:
    host, port = address["host"], address["port"]
    if not egress.guard.allows(host, port):
        raise EgressError(Failure.ADDRESS, egress.guard.refusal(host, port))
    opened = socket.socket(address["family"], socket.SOCK_STREAM, address["proto"])
    try:
        opened.setblocking(False)
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(opened, (host, port))
    except (OSError, TimeoutError) as error:
        opened.close()
        raise _explained(error, timeout_s) from error
    except BaseException:
        opened.close()
        raise
    return opened


def _explained(error: OSError, timeout_s: float) -> EgressError:
    # The kernel's ETIMEDOUT is a TimeoutError as well. Only that of asyncio.timeout has no errno.
    if isinstance(error, TimeoutError) and error.errno is None:
        return EgressError(Failure.TIMEOUT, f"no connection within {timeout_s:g} s")
    if error.errno == errno.ECONNREFUSED:
        return EgressError(Failure.REFUSED, os.strerror(error.errno).lower())
    words = os.strerror(error.errno).lower() if error.errno else "cannot connect"
    return EgressError(Failure.CONNECT, words)
