"""`reco load`: how fast the service is here, beside how fast its parts could be (the baselines), in the same run.

The command's own process plans, starts what is measured and shows progress; a generator process of its own sends the
load (`generator`), so that drawing a progress bar never delays a request. What can be pure is: the workload, the
histogram, the summary, the thresholds and the tables.
"""
