"""The tunnels of a local ngrok agent, which is no fault of anyone's while it never ran."""

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
    """What `/api/tunnels` answers, as far as it is looked at."""

    tunnels: list[Tunnel]


class Agent:
    """Remembers whether the agent was there since the start, and which tunnels were."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._was_seen = False
        self._names: list[str] = []

    async def ask(self, egress: Egress, time: datetime, timeout_s: float) -> Asked | None:
        """Return what came of it, or None while there never was an agent. No tunnel is fine."""
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
            asked.reason = "the answer is not that of an ngrok agent"
            return
        self._was_seen = True
        up = [tunnel.name[:NAME_CHARS_MAX] for tunnel in tunnels]
        # The newest come first, so that those that are long gone are forgotten.
        self._names = list(dict.fromkeys([*up, *self._names]))[:TUNNELS_MAX]
        asked.readings.append(Reading("ngrok_tunnels", len(tunnels)))
        asked.readings += [
            Reading("ngrok_tunnel_up", float(name in up), labels_of({"tunnel": name}))
            for name in self._names
        ]
