"""The nouns that every package shares. No I/O."""
