"""Where ranks can be: inventory, node slots, the share of a node that an instance has, spans."""
