"""`vigia backup …` and `vigia restore`."""
