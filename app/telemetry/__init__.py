"""Traces and metrics by OTLP. Nothing but `variables` is imported where the variables do not ask for them."""
