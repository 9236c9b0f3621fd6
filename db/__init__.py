"""The only room that knows our tables."""
