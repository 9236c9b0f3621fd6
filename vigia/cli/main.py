"""The command `vigia`: starts the service and administers it from a terminal."""

import click

from runtime.version import __version__
from vigia.cli.commands import Commands

COMMANDS = {
    "actions": "vigia.cli.actions:actions_group",
    "agent": "vigia.cli.groups.agent:agent_command",
    "alerts": "vigia.cli.groups.alerts:alerts_group",
    "backup": "vigia.cli.backup.command:backup_group",
    "channels": "vigia.cli.groups.channels:channels_group",
    "config": "vigia.cli.groups.config:config_group",
    "contacts": "vigia.cli.on_call.contacts:contacts_group",
    "deliveries": "vigia.cli.groups.deliveries:deliveries_group",
    "demo": "vigia.cli.groups.demo:demo_command",
    "doctor": "vigia.cli.groups.service:doctor_command",
    "history": "vigia.cli.groups.history:history_command",
    "hosts": "vigia.cli.hosts:hosts_group",
    "import": "vigia.cli.importing.command:import_command",
    "keys": "vigia.cli.groups.keys:keys_group",
    "oncall": "vigia.cli.on_call.oncall:oncall_group",
    "restore": "vigia.cli.backup.command:restore_command",
    "retention": "vigia.cli.groups.retention:retention_group",
    "routes": "vigia.cli.on_call.routes:routes_group",
    "rules": "vigia.cli.groups.rules:rules_group",
    "serve": "vigia.cli.groups.service:serve_command",
    "spool": "vigia.cli.groups.spool:spool_group",
    "sql": "vigia.cli.sql.command:sql_command",
    "status": "vigia.cli.status:status_command",
    "storage": "vigia.cli.groups.retention:storage_command",
}
"""The location of each command. A command is imported only if it is called."""


@click.group(cls=Commands, places=COMMANDS)
@click.version_option(__version__)
def main() -> None:
    """Self-hosted real-time monitoring on TimescaleDB."""
