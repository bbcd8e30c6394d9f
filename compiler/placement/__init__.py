"""Where ranks go: the order of axes and the host of each slot that take least communication time by the cost model."""
