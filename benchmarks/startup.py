"""How long `netra-loop --version` takes, against `python -c "import typer"`: the price of asking it anything at all."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15


def seconds(command: list[str]) -> float:
    """One run of `command`, from start to end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Times both in turn, so that a change in the machine's speed meets both, and prints the ratio of the medians."""
    ours = [sys.executable, "-m", "netra_loop.cli.main", "--version"]
    peer = [sys.executable, "-c", "import typer"]
    pairs = [(seconds(ours), seconds(peer)) for _ in range(RUNS + 1)][1:]
    ours_s, peer_s = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"startup: netra-loop --version {ours_s:.3f} s, import typer {peer_s:.3f} s, ratio {ours_s / peer_s:.2f}")


if __name__ == "__main__":
    main()
