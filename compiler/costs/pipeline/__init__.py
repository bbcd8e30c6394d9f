"""What the ranks of a pipeline wait for each other: orders, their replay, and its closed form."""
