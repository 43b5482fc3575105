"""What lives in the tests' interpreter: standard library and pytest only, nothing of netra-loop's own.

Loaded there as the package `netra_loop_agent` by `execution.pool_launch`, without touching `sys.path`. One process
collects (`zygote`), its forks run tests (`worker`); what a test said to the network is written down by `contacts`,
`exchanges` and `frames`. Nothing in here may break a test: whoever observes swallows its own mistakes.
"""
