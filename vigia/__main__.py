"""Lets `python -m vigia` run the command `vigia`."""

from vigia.cli.main import main

main()
