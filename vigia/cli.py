"""`vigia …`: the service, and what administers it from a terminal."""

import click

from vigia import __version__
from vigia.commands import Commands

COMMANDS = {
    "agent": "vigia.cli_agent:agent_command",
    "alerts": "vigia.cli_alerts:alerts_group",
    "config": "vigia.cli_config:config_group",
    "demo": "vigia.cli_demo:demo_command",
    "doctor": "vigia.cli_service:doctor_command",
    "history": "vigia.cli_history:history_command",
    "import": "vigia.cli_import:import_command",
    "keys": "vigia.cli_keys:keys_group",
    "retention": "vigia.cli_retention:retention_group",
    "rules": "vigia.cli_rules:rules_group",
    "serve": "vigia.cli_service:serve_command",
    "spool": "vigia.cli_spool:spool_group",
    "sql": "vigia.cli_sql:sql_command",
    "storage": "vigia.cli_retention:storage_command",
}
"""Where each command is. One that is not called is not imported."""


@click.group(cls=Commands, places=COMMANDS)
@click.version_option(__version__)
def main() -> None:
    """Self-hosted real-time monitoring on TimescaleDB."""
