"""Sends the consumer's dead letters again: `reco replay dlq` under the name that the runbook knows."""

from _environment import reco

if __name__ == "__main__":
    reco("replay", "dlq")
