"""Questions about the past, beside plain SQL and other databases."""
