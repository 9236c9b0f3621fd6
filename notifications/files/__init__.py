"""Everything that says whom messages reach, as a file: channels, people, policies, routes."""
