"""The only place that knows Hydra: schema, degrees without a file, messages, loading."""
