"""Keys, sessions and sign-in links: random texts of which only the SHA-256 hash is stored."""
