"""Configurations of plans that lost machines."""
