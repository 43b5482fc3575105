"""One step for each schema, named by what it brings."""
