"""`reco export`: what was stored and counted, as files for a warehouse."""
