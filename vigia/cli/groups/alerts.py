"""`vigia alerts …`: lists alerts, acts on them, and manages silences."""

from collections.abc import Mapping
from typing import Any, get_args

import click
import msgspec

from alerts.analytics import By
from api.paths import BASE
from model.limits import PAGE_ITEMS, PAGE_ITEMS_MAX
from model.series import Category
from model.severity import Level
from vigia.cli import terminal
from vigia.cli.asking import Answer, Caller, Command, asks
from vigia.cli.client import Query

PATH = f"{BASE}/alerts"


def filters(command: Command) -> Command:
    """Add the filters of a list of alerts, named as in the API."""
    for option in (
        click.option("--limit", type=click.IntRange(1, PAGE_ITEMS_MAX), default=PAGE_ITEMS),
        click.option(
            "--suppressed/--not-suppressed", default=None, help="Only suppressed alerts, or others."
        ),
        click.option("--rule", help="Only alerts of this rule."),
        click.option("--component", help="Only this component."),
        click.option("--category", type=click.Choice([one.value for one in Category])),
        click.option("--level", type=click.Choice([one.value for one in Level])),
    ):
        command = option(command)
    return command


@click.group("alerts")
def alerts_group() -> None:
    """List alerts, act on them, and silence them."""


@alerts_group.command("active")
@asks
@filters
def active(caller: Caller, **given: Any) -> None:
    """List the open alerts, newest first."""
    caller.ask("GET", f"{PATH}/active", _print_list, _query(given))


@alerts_group.command("history")
@asks
@filters
@click.option("--start", default="-7d", show_default=True, help="Open at this time or later.")
@click.option("--end", default="now", show_default=True, help="Opened before this time.")
def history(caller: Caller, **given: Any) -> None:
    """List the alerts that were open in a time range, newest first."""
    caller.ask("GET", f"{PATH}/history", _print_list, _query(given))


@alerts_group.command("show")
@asks
@click.argument("number", type=int)
def show(caller: Caller, number: int) -> None:
    """Show an alert with its transitions."""
    caller.ask("GET", f"{PATH}/{number}", _print_one)


def _act(name: str, transition: str, summary: str) -> None:
    """Add a command that acts on an alert."""

    @alerts_group.command(name, help=summary)
    @asks
    @click.argument("number", type=int)
    @click.option("--comment", default="", help="The reason, stored with the transition.")
    def act(caller: Caller, number: int, comment: str) -> None:
        caller.ask(
            "POST", f"{PATH}/{number}/{transition}", _print_transition, body={"comment": comment}
        )


_act("ack", "acknowledge", "Acknowledge an alert.")
_act("resolve", "resolve", "Resolve an alert manually.")
_act("reopen", "reopen", "Reopen a resolved alert.")


@alerts_group.command("comment")
@asks
@click.argument("number", type=int)
@click.argument("text")
def comment(caller: Caller, number: int, text: str) -> None:
    """Comment on an open or resolved alert."""
    caller.ask("POST", f"{PATH}/{number}/comment", _print_one, body={"comment": text})


@alerts_group.command("analytics")
@asks
@click.option("--by", type=click.Choice(get_args(By)), default="rule")
@click.option("--start", default="-30d", show_default=True, help="Opened at this time or later.")
@click.option("--end", default="now", show_default=True, help="Opened before this time.")
@click.option("--tz", default="UTC", show_default=True, help="Time zone of weeks.")
def analytics(caller: Caller, **given: Any) -> None:
    """Show alert statistics: counts, times to acknowledge and resolve, and flapping."""
    caller.ask("GET", f"{PATH}/analytics", _print_analytics, _query(given))


@alerts_group.command("silence")
@asks
@click.option("--rule", multiple=True)
@click.option("--component", multiple=True)
@click.option("--category", multiple=True, type=click.Choice([one.value for one in Category]))
@click.option("--level", multiple=True, type=click.Choice([one.value for one in Level]))
@click.option("--label", multiple=True, metavar="NAME=VALUE")
@click.option("--for", "duration", required=True, help="Duration from now on: 30m, 2h, 1d.")
@click.option("--comment", required=True, help="The reason.")
def silence(
    caller: Caller, duration: str, comment: str, label: tuple[str, ...], **given: tuple[str, ...]
) -> None:
    """Silence alerts for a while: they notify nobody. An alert must match every given option."""
    matcher: Answer = {name: list(values) for name, values in given.items() if values}
    if label:
        matcher["labels"] = dict(_pair(one) for one in label)
    body = {"matcher": matcher, "duration": duration, "comment": comment}
    caller.ask("POST", f"{PATH}/silences", _print_silence, body=body)


@alerts_group.command("silences")
@asks
@click.option("--all", "is_all", is_flag=True, help="Include ended and pending silences.")
def silences(caller: Caller, *, is_all: bool) -> None:
    """List the active silences."""
    caller.ask("GET", f"{PATH}/silences", _print_silences, [] if is_all else [("active", "true")])


@alerts_group.command("unsilence")
@asks
@click.argument("number", type=int)
def unsilence(caller: Caller, number: int) -> None:
    """End a silence."""
    caller.ask(
        "DELETE", f"{PATH}/silences/{number}", lambda _: terminal.echo(f"silence {number} ended")
    )


def _query(given: Mapping[str, Any]) -> Query:
    return [
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in given.items()
        if value is not None
    ]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--label {text}: write NAME=VALUE")
    return name, value


def _print_list(found: Answer) -> None:
    rows = [
        [
            str(alert["id"]),
            alert["level"],
            alert["state"],
            _time(alert["opened_at"]),
            _thing(alert),
            alert["title"],
            ", ".join(alert["suppressed_by"]),
        ]
        for alert in found["items"]
    ]
    terminal.print_table(
        ["id", "level", "state", "opened", "about", "title", "suppressed by"], rows
    )
    if found["cursor"]:
        terminal.echo("there are more alerts; add filters, or raise --limit")


def _print_one(alert: Answer) -> None:
    terminal.print_table(
        ["alert", str(alert["id"])],
        [
            ["level", alert["level"]],
            ["state", alert["state"]],
            ["about", _thing(alert)],
            ["title", alert["title"]],
            ["message", alert["message"]],
            ["rule", alert["rule"] or ""],
            ["suppressed by", ", ".join(alert["suppressed_by"])],
        ],
    )
    terminal.echo()
    rows = [
        [
            _time(transition["time"]),
            transition["type"],
            transition["level"] or "",
            "" if transition["value"] is None else f"{transition['value']:g}",
            transition["actor"],
            transition["comment"],
        ]
        for transition in alert["events"]
    ]
    terminal.print_table(["time", "transition", "level", "value", "by", "comment"], rows)


def _print_transition(alert: Answer) -> None:
    terminal.echo(f"alert {alert['id']} is {alert['state']}")


def _print_analytics(found: Answer) -> None:
    columns = list(found["items"][0]) if found["items"] else ["alerts"]
    rows = [[_cell(item[name]) for name in columns] for item in found["items"]]
    terminal.print_table([name.replace("_", " ") for name in columns], rows)


def _print_silence(found: Answer) -> None:
    terminal.echo(f"silence {found['id']} until {_time(found['ends_at'])}")


def _print_silences(found: Answer) -> None:
    rows = [
        [
            str(one["id"]),
            _time(one["starts_at"]),
            _time(one["ends_at"]),
            msgspec.json.encode(one["matcher"]).decode(),
            one["created_by"],
            one["comment"],
        ]
        for one in found["items"]
    ]
    terminal.print_table(["id", "from", "until", "matcher", "by", "comment"], rows)


def _thing(alert: Answer) -> str:
    labels = (f"{name}={value}" for name, value in alert["labels"].items())
    return " ".join([alert["component"], *labels])


def _time(text: str) -> str:
    """Return a time of the API shortened to the minute, in UTC."""
    return f"{text[:10]} {text[11:16]}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
