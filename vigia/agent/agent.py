"""The agent: collects this host with Vigia's collectors, and sends the samples to a service."""

import asyncio
from datetime import datetime

import msgspec

from collectors.collector import Collector, CollectorRun, deadline_of
from collectors.host.server import Server
from collectors.metrics import Reading, samples_of
from model.limits import COLLECT_TIMEOUT_S_MAX
from model.series import Sample, Series, labels_of
from runtime.schedule import SlotStats, every
from vigia.agent.send_queue import Outbox
from vigia.agent.sender import Sender

HOST = "host"
SERIES_CACHED_MAX = 10_000


class Agent:
    """In each slot: collects samples, adds the label `host`, and writes them to the send queue."""

    def __init__(self, host: str, outbox: Outbox, sender: Sender) -> None:
        self._host = host
        self._outbox = outbox
        self._sender = sender
        self._collected: list[Sample] = []
        self._runs = [CollectorRun(collector, self._collected.extend) for collector in collectors()]
        self._labelled: dict[Series, Series] = {}
        self.wake = asyncio.Event()
        # Also send what an earlier run of the agent left in the queue.
        self.wake.set()

    async def take(self, time: datetime, deadline_s: float = COLLECT_TIMEOUT_S_MAX) -> None:
        self._collected.clear()
        await asyncio.gather(*(run.run(time, deadline_s) for run in self._runs))
        samples = [*self._collected, *self._own_samples(time)]
        await self._outbox.put([self._with_host(sample) for sample in samples])
        self.wake.set()

    def _own_samples(self, time: datetime) -> list[Sample]:
        """Return the agent's metrics about itself."""
        readings = [
            Reading("agent_spool_bytes", self._outbox.size_bytes),
            Reading("agent_samples_sent_total", self._sender.sent),
            Reading("agent_samples_rejected_total", self._sender.rejected),
            Reading("agent_samples_dropped_total", self._outbox.dropped),
            Reading("agent_segments_quarantined_total", self._outbox.segments_quarantined),
            Reading("agent_send_failures_total", self._sender.failures),
        ]
        return samples_of(readings, Server.name, Server.category, time)

    def _with_host(self, sample: Sample) -> Sample:
        known = self._labelled.get(sample.series)
        if known is None:
            labels = labels_of({**dict(sample.series.labels), HOST: self._host})
            known = msgspec.structs.replace(sample.series, labels=labels)
            if len(self._labelled) >= SERIES_CACHED_MAX:
                self._labelled.clear()
            self._labelled[sample.series] = known
        return msgspec.structs.replace(sample, series=known)


def collectors() -> list[Collector]:
    """Return the collectors that need nothing but the host."""
    return [Server()]


async def run(agent: Agent, sender: Sender, interval_s: float) -> None:
    """Collect and send until cancelled."""

    async def take(time: datetime) -> None:
        await agent.take(time, deadline_of(interval_s))

    async with asyncio.TaskGroup() as group:
        for name, service in {
            "collect": every(lambda: interval_s, take, SlotStats(name="collect")),
            "send": sender.run(agent.wake),
        }.items():
            group.create_task(service, name=name)
