"""Remembers. One Protocol, `Journal`; `store` keeps it in a database, `netra_loop.testing.MemoryJournal` in memory."""
