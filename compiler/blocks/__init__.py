"""What a model is made of: a list of layers, each a tuple of blocks, and each block of a kind.

A block is plain data: its products, its other weights, what it caches of a token, what it keeps of a sequence. Everything that
is costed follows from that data; a kind is the function that makes it from sizes.
"""
