"""Histories people already have: a log file's rows become events, and go through the same door as live ones."""
