"""Checks of a running service: smoke test, targets, and the dependencies."""
