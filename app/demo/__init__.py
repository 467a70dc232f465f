"""The demo of `reco dev --demo`: a web shop's purchases, its catalogue, and visits that a generator made up."""
