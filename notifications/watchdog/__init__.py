"""Calls an address for as long as Vigia works: a canary goes the whole way before each call."""
