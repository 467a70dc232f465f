"""Imports existing logs: each row of a file becomes an event and is stored the way live events are."""
