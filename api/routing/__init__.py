"""Routes of the API about where alerts go: routes, escalation policies, and what both would do."""
