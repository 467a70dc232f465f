"""What an operator asks of a running service: does an event get through, are the targets kept, what is amiss."""
