"""Routes of the API for routes, escalation policies, and their previews."""
