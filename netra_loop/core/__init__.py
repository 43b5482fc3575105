"""Decides. Pure functions and frozen values: no event loop, clock, process, socket or database."""
