"""Two plans, compared by what it means for a job that runs the old one: `python -m compiler.diff`."""
