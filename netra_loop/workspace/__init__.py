"""WHERE SOURCE IS CHANGED: a place of the session's own for fixers to work in, and its commits."""
