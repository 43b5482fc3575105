"""What `netra-loop doctor` looks at: everything a session needs, before a night depends on it. Changes nothing."""
