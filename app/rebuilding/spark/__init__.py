"""The Spark engine of `reco rebuild`: Spark folds files of any size, and the driver loads what it made.

`reading` and `folding` run in Spark's tasks: they import nothing that needs more than msgspec, numpy and pyarrow.
"""
