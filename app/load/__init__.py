"""`reco load`: measures the service, and in the same run the benchmark baselines: how fast its parts could be.

The command's own process plans, starts what is measured and shows progress; a generator process of its own sends the
load (`generator`), so that drawing a progress bar never delays a request. The workload, the
summary, the thresholds and the tables are pure.
"""
