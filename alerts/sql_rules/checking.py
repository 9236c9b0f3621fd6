"""Checks the SQL of rules before they are saved: the database parses and plans it."""

from collections.abc import Sequence

import psycopg

from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.sql_rules import query
from alerts.sql_rules.query import SqlRuleError
from db import queries
from db.queries import Connection
from model.errors import InvalidError

_QUERIES = queries.load(__file__)
IS_EMBEDDED = _QUERIES["is_embedded"]

SEVERAL = "multiple commands"
ONE_ONLY = "it has several statements; write exactly one, without a semicolon at its end"


async def refuse(connection: Connection, wanted: Sequence[Rule]) -> None:
    """Raise InvalidError for each rule whose new SQL the database cannot plan, with the reason.

    The check runs outside of the caller's transaction, under the login that runs SQL rules and
    with its limits. Without that login nothing is checked: such a rule gets the state `error`.
    """
    fresh = await _fresh(connection, wanted)
    if not fresh or await queries.value(connection, IS_EMBEDDED):
        return
    try:
        async with connection.transaction():
            dsn = await query.open_login(connection)
    except psycopg.errors.InsufficientPrivilege:
        return
    faults = [fault for rule in fresh if (fault := await _fault(dsn, rule))]
    if faults:
        raise InvalidError("\n".join(faults))


async def _fresh(connection: Connection, wanted: Sequence[Rule]) -> list[Rule]:
    """Return SQL rules whose SQL is not the stored one: a stored rule may be switched off."""
    given = [rule for rule in wanted if rule.kind == "sql"]
    stored = {one.name: one.sql for one in await rules.named(connection, [r.name for r in given])}
    return [rule for rule in given if stored.get(rule.name) != rule.sql]


async def _fault(dsn: str, rule: Rule) -> str:
    try:
        await query.explain(dsn, rule.sql or "")
    except SqlRuleError as error:
        why = ONE_ONLY if SEVERAL in str(error) else error
        return f"the SQL of rule {rule.name} cannot run: {why}"
    return ""
