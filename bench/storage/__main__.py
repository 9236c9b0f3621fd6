"""Measures the bytes of a sample, of a row in each tier, and of the first year of a series.

`python -m bench.storage [--keep]`: loads the reference data twice, rounded to the resolutions of
its series, and unrounded. `--keep` keeps the loaded data for the next run.
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path

import psycopg
from msgspec import Struct

from bench import peers, reference
from bench.command import run
from bench.loading import Filled, loaded, read_filled
from bench.reference import STEP_S, Reference
from bench.shapes import DAY_S
from bench.storage import sizes
from bench.storage.sizes import YEAR_DAYS, Tier, Year
from bench.tables import print_table
from config.model import Retention
from retention.plan import plan

ALIGNED_S = 28 * DAY_S
"""The end of the data, at the end of the widest chunks that they can fill."""
SAMPLE_BYTES_MAX = 2.7
YEAR_BYTES_MAX = 3e6
MAINTENANCE_CPU_US_MAX = 4.5
"""The limit of the bytes of a sample."""
SAMPLES_A_YEAR = YEAR_DAYS * DAY_S / STEP_S
WANTED = {wanted.name: wanted for wanted in plan(Retention())}
METADATA = ("_ts_meta_", "series_id")
KB, MB = 1e3, 1e6


class Weighed(Struct, frozen=True):
    """One variant of the data: the tiers, and the bytes of a sample in each peer."""

    tiers: dict[str, Tier]
    peers: dict[str, float]
    filled: Filled

    @property
    def sample(self) -> float:
        return self.tiers["raw"].packed.total

    @property
    def years(self) -> dict[str, Year]:
        return {name: tier.year(WANTED[name]) for name, tier in self.tiers.items()}

    @property
    def year(self) -> float:
        return sum(year.total for year in self.years.values())


async def main(url: str, keep: bool) -> None:
    began = time.monotonic()
    end_s = int(time.time()) // ALIGNED_S * ALIGNED_S
    async with asyncio.TaskGroup() as group:
        variants = [
            group.create_task(_weigh(url, reference.make(end_s, rounded=rounded), name, keep=keep))
            for name, rounded in (("rounded", True), ("measured", False))
        ]
    rounded, measured = (variant.result() for variant in variants)
    report_tiers(rounded, measured)
    report_columns(rounded, measured)
    report_samples(rounded, measured)
    report_filled(rounded, measured)
    seconds = round(time.monotonic() - began)
    print(json.dumps({"bench": "storage", **summary(rounded, measured), "seconds": seconds}))


async def _weigh(url: str, data: Reference, variant: str, *, keep: bool) -> Weighed:
    with tempfile.TemporaryDirectory(prefix="vigia-bench-") as folder:
        home = peers.home(data) if keep else Path(folder)
        async with loaded(url, f"storage_{variant}", data, keep=keep) as dsn:
            connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
            async with connection:
                tiers = await sizes.measure(connection, data)
                filled = await read_filled(connection)
        bytes_by_peer = {}
        for peer in peers.installed():
            place = await peers.stored(peer, home, data)
            bytes_by_peer[peer.name] = peer.stored_bytes(place) / data.samples
    return Weighed({tier.name: tier for tier in tiers}, bytes_by_peer, filled)


def report_tiers(rounded: Weighed, measured: Weighed) -> None:
    rows = [_tier_cells(name, rounded, measured) for name in rounded.tiers]
    sums = [
        sum(values) for values in zip(*(_year_kb(y) for y in rounded.years.values()), strict=True)
    ]
    sums.append(measured.year / KB)
    rows.append(["all", *[""] * 4, *(f"{kb:.0f}" for kb in sums)])
    print(
        "Bytes of a row, and kB of a series one year after its first sample; default retention.\n"
    )
    print_table(
        [
            *("tier", "rows a day", "uncompressed: table + indexes", "compressed", "unrounded"),
            *("uncompressed kB", "compressed kB", "year kB", "at worst", "year unrounded"),
        ],
        rows,
    )


def _tier_cells(name: str, rounded: Weighed, measured: Weighed) -> list[str]:
    tier, other = rounded.tiers[name], measured.tiers[name]
    years = [*_year_kb(rounded.years[name]), measured.years[name].total / KB]
    return [
        name,
        f"{tier.rows_per_day:.4g}",
        f"{tier.head.table:.1f} + {tier.head.index:.1f}",
        f"{tier.packed.total:.2f}",
        f"{other.packed.total:.2f}",
        *(f"{kb:.0f}" for kb in years),
    ]


def _year_kb(year: Year) -> tuple[float, float, float, float]:
    return year.head / KB, year.packed / KB, year.total / KB, year.worst / KB


def report_columns(rounded: Weighed, measured: Weighed) -> None:
    variants = [
        {name: _parts(tier) for name, tier in weighed.tiers.items()}
        for weighed in (rounded, measured)
    ]
    names = dict.fromkeys(part for parts in variants[0].values() for part in parts)
    print("Compressed bytes of a row by column, rounded / unrounded.\n")
    print_table(
        ["column", *rounded.tiers],
        [
            [
                part,
                *(
                    " / ".join(f"{one[tier][part]:.2f}" for one in variants if part in one[tier])
                    for tier in rounded.tiers
                ),
            ]
            for part in names
        ],
    )


def _parts(tier: Tier) -> dict[str, float]:
    """Return the bytes of a row by column, of the batch metadata, and of the rest."""
    parts = {n: size for n, size in tier.columns.items() if not n.startswith(METADATA)}
    parts = {"time" if name == "bucket" else name: size for name, size in parts.items()}
    parts["of batches"] = sum(tier.columns.values()) - sum(parts.values())
    parts["pages, TOAST"] = tier.packed.table - sum(tier.columns.values())
    parts["indexes"] = tier.packed.index
    return parts


def report_samples(rounded: Weighed, measured: Weighed) -> None:
    rows = [["Vigia, raw", f"{rounded.sample:.2f}", f"{measured.sample:.2f}", "", ""]]
    rows += [
        [
            f"{peer}, which keeps raw",
            *(f"{one.peers[peer]:.2f}" for one in (rounded, measured)),
            *(f"{one.peers[peer] * SAMPLES_A_YEAR / MB:.2f}" for one in (rounded, measured)),
        ]
        for peer in rounded.peers
    ]
    years = [f"{one.year / MB:.2f}" for one in (rounded, measured)]
    rows.append(["Vigia, every tier", "", "", *years])
    print("Bytes of a sample, and MB of a series in its first year.\n")
    print_table(["", "rounded", "unrounded", "year rounded", "year unrounded"], rows)


def report_filled(rounded: Weighed, measured: Weighed) -> None:
    print("The cost of copying the samples, and of rolling up and compressing all of them.\n")
    print_table(
        ["", "copy s", "CPU s", "maintenance s", "CPU s", "CPU \N{MICRO SIGN}s a sample"],
        [
            [
                name, f"{one.copy_s:.0f}", f"{one.copy_cpu_s:.1f}", f"{one.maintain_s:.0f}",
                f"{one.maintain_cpu_s:.1f}", f"{one.maintain_cpu_us:.2f}",
            ]
            for name, one in (("rounded", rounded.filled), ("unrounded", measured.filled))
        ],
    )  # fmt: skip


def summary(rounded: Weighed, measured: Weighed) -> dict[str, object]:
    """Return the figures that have limits. `ratio` is the worst of them divided by its limit."""
    filled = rounded.filled
    ratio = max(
        rounded.sample / SAMPLE_BYTES_MAX,
        rounded.year / YEAR_BYTES_MAX,
        filled.maintain_cpu_us / MAINTENANCE_CPU_US_MAX,
    )
    return {
        "ratio": round(ratio, 3),
        "sample_bytes": round(rounded.sample, 3),
        "sample_bytes_unrounded": round(measured.sample, 3),
        "year_bytes": round(rounded.year),
        "year_bytes_at_worst": round(sum(year.worst for year in rounded.years.values())),
        "year_bytes_unrounded": round(measured.year),
        "peers_sample_bytes": {peer: round(size, 3) for peer, size in rounded.peers.items()},
        "copy_s": round(filled.copy_s, 1),
        "copy_cpu_us": round(filled.copy_cpu_us, 3),
        "maintain_s": round(filled.maintain_s, 1),
        "maintain_cpu_us": round(filled.maintain_cpu_us, 3),
        "is_met": ratio <= 1,
    }


if __name__ == "__main__":
    run(main, "Measures the size of samples and roll-ups on disk.")
