"""Rows of a measurements folder, each turned into a plan by itself."""
