"""`parallel=auto`: every plan of a cluster that a framework can express, costed by the functions that cost one, and the best of them."""
