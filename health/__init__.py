"""How each component does, and how long it has."""
