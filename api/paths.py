"""The path under which the API answers."""

BASE = "/api/v1/monitoring"
