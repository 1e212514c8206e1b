"""What a host counts: cells that its workers write, and the sums that are made of them."""
