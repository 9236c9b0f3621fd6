"""`vigia agent`: collects another host."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click

from model.limits import COLLECT_S, COLLECT_S_MAX, COLLECT_S_MIN, LABEL_VALUE_BYTES_MAX
from model.text import UNSAFE_WORDS, clean
from model.times import utc_now
from runtime.network.egress import open_egress
from runtime.settings import SERVICE_URL, Secret
from vigia.agent.agent import Agent, run
from vigia.agent.send_queue import Outbox
from vigia.agent.sender import Sender
from vigia.cli import terminal

EVERYWHERE = ("0.0.0.0/0", "::/0")
"""The user who starts the agent chooses the address, which is mostly in a private network."""

SPOOL_MIB, SPOOL_MIB_MIN = 256, 32
ONCE_S = 1.0
"""CPU shares need some time between two readings."""


@click.command("agent")
@click.option("--to", "url", envvar="VIGIA_URL", required=True, help="Address of the service.")
@click.option(
    "--key", envvar="VIGIA_KEY", help=f"A key with the role ingest. {terminal.KEY_WARNING}"
)
@click.option(
    "--key-file",
    envvar="VIGIA_KEY_FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that contains the key.",
)
@click.option("--host-label", default=socket.gethostname, help="Name of this host.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(COLLECT_S_MIN, COLLECT_S_MAX),
    default=COLLECT_S,
    show_default=True,
    help="Seconds between collections.",
)
@click.option(
    "--spool",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for unsent samples (default: `agent` in the data directory).",
)
@click.option(
    "--spool-mib",
    type=click.IntRange(SPOOL_MIB_MIN),
    default=SPOOL_MIB,
    show_default=True,
    help="Limit of unsent samples; beyond it the oldest are dropped.",
)
@click.option("--once", is_flag=True, help="Collect once, send all unsent samples, and exit.")
def agent_command(
    *,
    url: str,
    key: str | None,
    key_file: Path | None,
    host_label: str,
    interval_s: float,
    spool: Path | None,
    spool_mib: int,
    once: bool,
) -> None:
    """Collect this host and send the samples to a service, until Ctrl-C."""
    _check(url, host_label)
    secret = _key(key, key_file)
    folder = spool or terminal.settings().data_dir / "agent"

    async def work() -> None:
        async with _open(url, secret, host_label, folder, spool_mib * 2**20) as (agent, sender):
            if once:
                await asyncio.sleep(ONCE_S)
                await agent.take(utc_now().replace(microsecond=0))
                await sender.send_all()
            else:
                await _run_until_signalled(agent, sender, interval_s)

    terminal.run(work)


@asynccontextmanager
async def _open(
    url: str, key: Secret, host: str, folder: Path, budget_bytes: int
) -> AsyncIterator[tuple[Agent, Sender]]:
    outbox = await asyncio.to_thread(Outbox, folder, budget_bytes)
    try:
        async with open_egress(EVERYWHERE) as egress:
            sender = Sender(egress, url, key, outbox)
            yield Agent(host, outbox, sender), sender
    finally:
        await outbox.close()


async def _run_until_signalled(agent: Agent, sender: Sender, interval_s: float) -> None:
    """Run until SIGINT or SIGTERM. Unsent samples stay on disk."""
    running = asyncio.ensure_future(run(agent, sender, interval_s))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    await asyncio.wait({running})
    if not running.cancelled():
        running.result()


def _key(key: str | None, file: Path | None) -> Secret:
    if (key is None) == (file is None):
        raise click.UsageError("set either --key (or VIGIA_KEY) or --key-file")
    text = key if file is None else file.read_text(encoding="utf-8", errors="replace")
    text = (text or "").strip()
    if not text or not text.isascii() or not text.isprintable():
        raise click.UsageError("the key must be one line of printable ASCII characters")
    return Secret(text)


def _check(url: str, host: str) -> None:
    if not SERVICE_URL.fullmatch(url):
        raise click.UsageError("--to must be http:// or https:// and a host, without a password")
    # Compare with the cleaned text first: an argument that is not valid UTF-8 cannot be encoded.
    if not host or clean(host) != host or len(host.encode()) > LABEL_VALUE_BYTES_MAX:
        raise click.UsageError(
            f"--host-label must have 1 to {LABEL_VALUE_BYTES_MAX} bytes, and no {UNSAFE_WORDS}"
        )
