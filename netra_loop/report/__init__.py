"""What people and programs read: rows, tables, consoles. Everything takes its inputs as values."""
