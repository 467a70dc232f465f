"""Sends dead outbox rows again: `reco replay outbox` under the name that the runbook knows."""

from _environment import reco

if __name__ == "__main__":
    reco("replay", "outbox")
