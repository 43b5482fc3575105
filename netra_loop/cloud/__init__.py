"""Where revisions live."""
