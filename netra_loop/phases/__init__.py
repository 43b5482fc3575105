"""What we do: one module for each word of `uses`. Phases do not know each other."""
