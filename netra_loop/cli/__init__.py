"""How one talks to it."""
