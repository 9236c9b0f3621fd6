"""Looks host names up, so that one slow name does not delay another."""

import asyncio
import errno
import socket
from concurrent.futures import Future
from threading import Thread
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from runtime.network.address_guard import AddressGuard

LOOKUPS_MAX = 256

Question = tuple[str, int, socket.AddressFamily]
AddrInfos = list[tuple[Any, Any, int, str, tuple[Any, ...]]]


class Resolver(AbstractResolver):
    """Looks each name up with `getaddrinfo` in its own thread.

    The default executor has few threads, and uvloop's has four: a few hanging names would block all
    others. The threads are daemons, so that the process can end while a look-up hangs.
    """

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._asked: dict[Question, Future[AddrInfos]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        infos = await asyncio.wrap_future(self._look_up((host, port, family)))
        # Egress would refuse the other addresses anyway. Left in, they would replace the error of
        # the allowed ones.
        allowed = [info for info in infos if self._guard.allows(info[4][0], port, for_ngrok=True)]
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in allowed or infos
        ]

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return every address of a host, including addresses that are not allowed."""
        question = (host, port, socket.AF_UNSPEC)
        infos = await asyncio.wrap_future(self._look_up(question))
        return [str(info[4][0]) for info in infos]

    def _look_up(self, question: Question) -> Future[AddrInfos]:
        self._asked = {asked: answer for asked, answer in self._asked.items() if not answer.done()}
        if question not in self._asked:
            if len(self._asked) >= LOOKUPS_MAX:
                raise OSError(errno.EAGAIN, "too many look-ups wait for an answer")
            answer = self._asked[question] = Future()
            # Several tasks may await this future. Marked as running, none of them can cancel it.
            answer.set_running_or_notify_cancel()
            Thread(target=_resolve, args=(question, answer), name="dns", daemon=True).start()
        return self._asked[question]

    async def close(self) -> None:
        """Do nothing: hanging look-ups end with the process."""


def _resolve(question: Question, answer: Future[AddrInfos]) -> None:
    host, port, family = question
    try:
        answer.set_result(
            socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        )
    except (OSError, ValueError) as error:
        answer.set_exception(error)
