"""A small Cloud Run and Cloud Logging of our own, over the same gRPC, whose containers are processes of this machine.

`python -m netra_loop.cloud.embedded --state DIR` runs it; `launch` starts and ends it. Importing this package is cheap.
"""
