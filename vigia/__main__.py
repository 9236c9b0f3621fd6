"""`python -m vigia` is `vigia`."""

from vigia.cli.main import main

main()
