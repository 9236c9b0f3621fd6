"""Builds all parts of the service and runs them. The only package that imports all others."""
