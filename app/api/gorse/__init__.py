"""Gorse's HTTP API (github.com/gorse-io/gorse, server/rest.go), as its clients call it. docs/gorse.md has what differs.

The calls are not in the OpenAPI document: they are Gorse's own, and behind the setting GORSE_API.
"""
