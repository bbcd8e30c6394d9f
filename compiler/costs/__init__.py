"""Parameters, memory, FLOPs, collectives, training and serving time, over numpy arrays: one plan, or many at once."""
