"""What a user declares: frozen dataclasses that are also the configuration's schema, with a string under each field."""
