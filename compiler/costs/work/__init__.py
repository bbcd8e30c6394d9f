"""What a rank holds and does: parameters, products, activations, memory, traffic."""
