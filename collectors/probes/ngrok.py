"""Measures the tunnels of a local ngrok agent. An agent that never ran is not reported as down."""

from datetime import datetime

import msgspec
from msgspec import Struct

from collectors.metrics import Reading
from collectors.probes.probe import Asked, ask
from model.series import labels_of
from model.targets import Target
from runtime.network.egress import Egress, Failure

TUNNELS_MAX = 100
NAME_CHARS_MAX = 200


class Tunnel(Struct):
    name: str


class Tunnels(Struct):
    """The part of the answer of `/api/tunnels` that Vigia reads."""

    tunnels: list[Tunnel]


class Agent:
    """Probes the agent, and remembers whether it ever answered, and its tunnels."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._was_seen = False
        self._names: list[str] = []

    async def ask(self, egress: Egress, time: datetime, timeout_s: float) -> Asked | None:
        """Return the outcome, or None if no agent has answered since the start.

        An agent without tunnels is up.
        """
        asked = await ask(self._target, egress, time, timeout_s)
        if asked.failure is Failure.REFUSED and not self._was_seen:
            return None
        if not asked.reason:
            self._take(asked)
        return asked

    def _take(self, asked: Asked) -> None:
        try:
            tunnels = msgspec.json.decode(asked.body, type=Tunnels).tunnels
        except msgspec.DecodeError:
            asked.reason = "the answer does not come from an ngrok agent"
            return
        self._was_seen = True
        up = [tunnel.name[:NAME_CHARS_MAX] for tunnel in tunnels]
        # Open tunnels come first, so that the limit drops those that closed longest ago.
        self._names = list(dict.fromkeys([*up, *self._names]))[:TUNNELS_MAX]
        asked.readings.append(Reading("ngrok_tunnels", len(tunnels)))
        asked.readings += [
            Reading("ngrok_tunnel_up", float(name in up), labels_of({"tunnel": name}))
            for name in self._names
        ]
