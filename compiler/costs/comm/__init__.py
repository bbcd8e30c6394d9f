"""Who sends what to whom: links, algorithms of collectives, and what flows take."""
