"""People who are told: where each is reached, and when a message to one may go."""
