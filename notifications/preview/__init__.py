"""Previews of routing and escalation: for one alert from now on, and for past alerts of a range."""
