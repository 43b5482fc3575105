"""netra-loop: deploy a revision, run the golden path against it, tell the truth about it, go round until it holds."""

__version__ = "0.1.0"
