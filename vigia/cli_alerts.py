"""`vigia alerts …`: what is wrong, what was, and what someone does about it."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, get_args

import click
import msgspec
from msgspec import Struct

from api.lists import LIMIT, LIMIT_MAX
from api.probes import BASE
from db.analytics import By
from vigia import client, terminal
from vigia.client import Query
from vigia.model import Category, Level, Role

PATH = f"{BASE}/alerts"
Answer = dict[str, Any]
Command = Callable[..., None]


class Caller(Struct, frozen=True):
    """Which service is asked, by whom, and how its answer is printed."""

    url: str | None
    key: str | None
    as_json: bool

    def ask(
        self,
        method: str,
        path: str,
        show: Callable[[Answer], None],
        query: Query = (),
        body: object = None,
    ) -> None:
        """Ask, as an operator where something is to change, and print the answer."""
        role = Role.VIEWER if method == "GET" else Role.OPERATOR

        async def go() -> None:
            async with client.open_client(self.url, self.key, role) as service:
                found = await service.ask(method, PATH + path, query, body)
            if self.as_json:
                terminal.print_json(found)
            else:
                show(found)

        terminal.run(go)


def asks(command: Command) -> Command:
    """Give a command its caller, from the options that each has."""

    @terminal.json_option
    @client.options
    @wraps(command)
    def with_caller(*, url: str | None, key: str | None, as_json: bool, **given: Any) -> None:
        command(Caller(url, key, as_json), **given)

    return with_caller


def filters(command: Command) -> Command:
    """Add what a list of alerts can be narrowed by, each as the API names it."""
    for option in (
        click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=LIMIT),
        click.option("--held/--not-held", default=None, help="Only those held back, or not."),
        click.option("--rule", help="Only alerts of this rule."),
        click.option("--component", help="Only this component."),
        click.option("--category", type=click.Choice([one.value for one in Category])),
        click.option("--level", type=click.Choice([one.value for one in Level])),
    ):
        command = option(command)
    return command


@click.group("alerts")
def alerts_group() -> None:
    """Alerts, open and past, and what people do about them."""


@alerts_group.command("active")
@asks
@filters
def active(caller: Caller, **given: Any) -> None:
    """List the open alerts, newest first."""
    caller.ask("GET", "/active", _print_list, _query(given))


@alerts_group.command("history")
@asks
@filters
@click.option("--start", default="-7d", show_default=True, help="Open then or later.")
@click.option("--end", default="now", show_default=True, help="Opened before.")
def history(caller: Caller, **given: Any) -> None:
    """List the alerts that were open in a range of time, newest first."""
    caller.ask("GET", "/history", _print_list, _query(given))


@alerts_group.command("show")
@asks
@click.argument("number", type=int)
def show(caller: Caller, number: int) -> None:
    """Show an alert with each step of its life."""
    caller.ask("GET", f"/{number}", _print_one)


def _act(name: str, step: str, summary: str) -> None:
    """Add a command that lets an alert take a step."""

    @alerts_group.command(name, help=summary)
    @asks
    @click.argument("number", type=int)
    @click.option("--comment", default="", help="Why; it is kept with the step.")
    def act(caller: Caller, number: int, comment: str) -> None:
        caller.ask("POST", f"/{number}/{step}", _print_step, body={"comment": comment})


_act("ack", "acknowledge", "Say that you are on it.")
_act("resolve", "resolve", "Resolve an alert by hand.")
_act("reopen", "reopen", "Let a resolved alert fire again.")


@alerts_group.command("comment")
@asks
@click.argument("number", type=int)
@click.argument("text")
def comment(caller: Caller, number: int, text: str) -> None:
    """Say something about an alert, open or past."""
    caller.ask("POST", f"/{number}/comment", _print_one, body={"comment": text})


@alerts_group.command("analytics")
@asks
@click.option("--by", type=click.Choice(get_args(By)), default="rule")
@click.option("--start", default="-30d", show_default=True, help="Opened since.")
@click.option("--end", default="now", show_default=True, help="Opened before.")
@click.option("--tz", default="UTC", show_default=True, help="Time zone in which weeks begin.")
def analytics(caller: Caller, **given: Any) -> None:
    """Say how soon alerts were taken on and over, and which are noise."""
    caller.ask("GET", "/analytics", _print_analytics, _query(given))


@alerts_group.command("silence")
@asks
@click.option("--rule", multiple=True)
@click.option("--component", multiple=True)
@click.option("--category", multiple=True, type=click.Choice([one.value for one in Category]))
@click.option("--level", multiple=True, type=click.Choice([one.value for one in Level]))
@click.option("--label", multiple=True, metavar="NAME=VALUE")
@click.option("--for", "duration", required=True, help="How long from now on: 30m, 2h, 1d.")
@click.option("--comment", required=True, help="Why.")
def silence(
    caller: Caller, duration: str, comment: str, label: tuple[str, ...], **given: tuple[str, ...]
) -> None:
    """Let nobody be told of some alerts for a while; what is given must all fit."""
    matcher: Answer = {name: list(values) for name, values in given.items() if values}
    if label:
        matcher["labels"] = dict(_pair(one) for one in label)
    body = {"matcher": matcher, "duration": duration, "comment": comment}
    caller.ask("POST", "/silences", _print_silence, body=body)


@alerts_group.command("silences")
@asks
@click.option("--all", "is_all", is_flag=True, help="Also those that have ended, or not begun.")
def silences(caller: Caller, *, is_all: bool) -> None:
    """List what is silenced now."""
    caller.ask("GET", "/silences", _print_silences, [] if is_all else [("active", "true")])


@alerts_group.command("unsilence")
@asks
@click.argument("number", type=int)
def unsilence(caller: Caller, number: int) -> None:
    """End a silence."""
    caller.ask("DELETE", f"/silences/{number}", lambda _: terminal.say(f"silence {number} ended"))


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
            ", ".join(alert["held_by"]),
        ]
        for alert in found["items"]
    ]
    terminal.print_table(["id", "level", "state", "opened", "about", "title", "held by"], rows)
    if found["cursor"]:
        terminal.say("there are more: narrow it, or raise --limit")


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
            ["held by", ", ".join(alert["held_by"])],
        ],
    )
    terminal.say()
    rows = [
        [
            _time(step["time"]),
            step["type"],
            step["level"] or "",
            "" if step["value"] is None else f"{step['value']:g}",
            step["actor"],
            step["comment"],
        ]
        for step in alert["events"]
    ]
    terminal.print_table(["time", "step", "level", "value", "by", "comment"], rows)


def _print_step(alert: Answer) -> None:
    terminal.say(f"alert {alert['id']} is {alert['state']}")


def _print_analytics(found: Answer) -> None:
    columns = list(found["items"][0]) if found["items"] else ["alerts"]
    rows = [[_cell(item[name]) for name in columns] for item in found["items"]]
    terminal.print_table([name.replace("_", " ") for name in columns], rows)


def _print_silence(found: Answer) -> None:
    terminal.say(f"silence {found['id']} until {_time(found['ends_at'])}")


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
    terminal.print_table(["id", "from", "until", "what", "by", "comment"], rows)


def _thing(alert: Answer) -> str:
    labels = (f"{name}={value}" for name, value in alert["labels"].items())
    return " ".join([alert["component"], *labels])


def _time(text: str) -> str:
    """Return a time of the API's, in UTC, to the minute."""
    return f"{text[:10]} {text[11:16]}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
