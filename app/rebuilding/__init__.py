"""`reco rebuild`: makes the stored sums anew from the events, beside those that serve, and swaps the two."""
