"""Which alerts go where: routes, groups of alerts, and escalations that are under way."""
