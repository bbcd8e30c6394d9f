"""A package each: how a framework orders ranks, splits layers, what it refuses, and what it is started with."""
