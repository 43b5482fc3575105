"""Who decides when: drives a session from one commit to the next."""
