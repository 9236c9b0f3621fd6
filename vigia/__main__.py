"""`python -m vigia` is `vigia`."""

from vigia.cli import main

main()
