"""Turns validation errors into plain English, with what is allowed and what was probably meant."""
