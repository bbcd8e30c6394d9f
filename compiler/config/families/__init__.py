"""Families of Hugging Face models as data: `model_type` -> the parts that read its `config.json`, and its class's defaults."""
