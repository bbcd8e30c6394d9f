"""What is compared: a module for each topic, found by its name."""
