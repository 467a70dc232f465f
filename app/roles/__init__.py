"""The parts of each role. A process imports those of the roles that it has, and no others: a relay
needs no compiled code.
"""
