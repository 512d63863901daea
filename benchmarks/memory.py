"""How much memory a process has held, as the benchmarks measure it."""

from pathlib import Path


def peak_memory() -> float:
    """MiB of physical memory that this process has held at most (Linux).

    Not getrusage's ru_maxrss, which a process takes over from the one that started it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
