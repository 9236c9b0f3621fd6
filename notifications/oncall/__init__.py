"""On call: who is on call, and which people an alert notifies when. Mostly pure functions."""
