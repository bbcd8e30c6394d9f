"""Claims about a plan: facts that they are held against, and what judges them."""
