"""What a step costs on GPUs that were not measured, and the tables that say so.

    T(R) = max(B f / (R u F), B m / min(R d, S)) + A(R)       seconds a step on R replicas
    A(R) = 2 (R - 1) / R · G / w(R) + 2 (R - 1) l             ring all-reduce

B examples a step, f floating-point operations an example, F of a replica a second, of
which u are reached, m bytes read an example, d bytes that a replica's host reads a
second, S that the shared storage gives, G bytes of gradients, w bytes a second of the
slowest link, l its latency. (Patarasuk and Yuan 2009, Bandwidth optimal all-reduce
algorithms.)
"""

import dataclasses

# Karpathy's split of COCO 2014 (train + restval), five captions a picture.
COCO_PICTURES, CAPTIONS_EACH, TOKENS = 113_287, 5, 11.5
JPEG_BYTES = 162_000  # COCO train2014: 13.5 GB in 82,783 files
BILLION = 10**9


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What is assumed of machines with 8 GPUs each; none was measured."""

    peak_tflops: float = 312.0  # bfloat16, NVIDIA A100's data sheet
    utilisation: float = 0.3  # share of the peak that a step reaches
    nvlink_gb: float = 250.0  # bytes a second in one machine, all-reduce
    network_gb: float = 22.0  # between machines: 200 Gb/s InfiniBand
    latency_us: float = 10.0  # of one hop
    storage_gb: float = 20.0  # read from shared storage by all machines together
    host_gb: float = 1.0  # read by a GPU's share of its machine
    cores_per_gpu: int = 12  # that decode pictures
    core_dollars: float = 0.04  # an hour of a core
    egress_gbit: float = 10.0  # of a worker of 16 cores


def all_reduce(parameters: int, replicas: int, cluster: Cluster) -> float:
    """A(R) of gradients of 4 bytes a parameter."""
    if replicas == 1:
        return 0.0
    link = 1e9 * (cluster.nvlink_gb if replicas <= 8 else cluster.network_gb)
    share = 2 * (replicas - 1) / replicas
    hops = 2 * (replicas - 1) * cluster.latency_us * 1e-6
    return share * 4 * parameters / link + hops


def step(job: dict, replicas: int, cluster: Cluster, decode: float) -> dict:
    """T(R) and its parts, for a batch that grows with the replicas."""
    batch = job["batch"] * replicas
    compute = job["operations"] * job["batch"]
    compute /= cluster.peak_tflops * 1e12 * cluster.utilisation
    rate = 1e9 * min(replicas * cluster.host_gb, cluster.storage_gb) / job["bytes"]
    if job["bytes"] == JPEG_BYTES:
        rate = min(rate, replicas * cluster.cores_per_gpu * decode)
    parts = {
        "compute": compute,
        "input": batch / rate,
        "all-reduce": all_reduce(job["parameters"], replicas, cluster),
    }
    seconds = max(parts["compute"], parts["input"]) + parts["all-reduce"]
    return {**parts, "step": seconds, "rate": batch / seconds}


def report(measured: dict, cluster: Cluster) -> str:
    """The tables of docs/scaling.md, of the parts that were measured."""
    lines = []
    if "epoch" in measured:
        whole, half, two = (measured["epoch"][name] for name in ("whole", "half", "two"))
        waiting = 1e3 * (two - half / 2) / (measured["epoch"]["pictures"] / 16)
        lines += [
            f"Load {measured['load']:.1f} on {measured['cores']} cores.",
            "",
            "| fine-tuning at 96 pixels, a thread a process | |",
            "|---|---|",
            f"| one process, batch 16: seconds an epoch | {whole:.2f} |",
            f"| one process, batch 8 | {half:.2f} |",
            f"| two processes, batch 16 together | {two:.2f} |",
            f"| speed-up of two processes | {whole / two:.2f} |",
            f"| all-reduce and waiting, a step | {waiting:.0f} ms |",
            "",
            "| consumed by the step, a thread | records/s | by 100 times as fast |",
            "|---|---|---|",
        ]
        for name, rate in measured["consumed"].items():
            lines.append(f"| {name} | {rate:,.0f} | {100 * rate:,.0f} |")
    decode = 100.0
    if "read" in measured:
        decode = measured["decode"]["pictures a core and second"]
        lines += ["", "| read by this process | records/s |", "|---|---|"]
        lines += [f"| {name} | {rate:,.0f} |" for name, rate in measured["read"].items()]
        lines.append(f"| decoded and resized, a core | {decode:,.0f} |")
    for name, job in measured.get("jobs", {}).items():
        lines += ["", *job_lines(name, job, cluster, decode)]
    if "bulk" in measured:
        lines += ["", *bulk_lines(measured, cluster)]
    return "\n".join(lines)


def job_lines(name: str, job: dict, cluster: Cluster, decode: float) -> list[str]:
    """The predicted steps of a job on 1, 8 and 64 GPUs."""
    lines = [
        f"**{name}**: {job['parameters'] / 1e6:.1f} million parameters, "
        f"{job['operations'] / 1e9:.2f} GFLOP and {job['bytes'] / 1e3:.0f} kB an "
        f"example, {job['batch']} examples a GPU",
        "",
        "| GPUs | compute | input | all-reduce | step | rate/s | epoch | of linear |",
        "|---|---|---|---|---|---|---|---|",
    ]
    alone = step(job, 1, cluster, decode)["rate"]
    for replicas in (1, 8, 64):
        found = step(job, replicas, cluster, decode)
        cells = [
            f"{1e3 * found[part]:.2f} ms"
            for part in ("compute", "input", "all-reduce", "step")
        ]
        cells += [f"{found['rate']:,.0f}", f"{job['examples'] / found['rate']:.0f} s"]
        efficiency = found["rate"] / (replicas * alone)
        lines.append(f"| {replicas} | {' | '.join(cells)} | {efficiency:.0%} |")
    return lines


def bulk_lines(measured: dict, cluster: Cluster) -> list[str]:
    """A billion pictures: cost, bytes, and what the slowest shard costs."""
    bulk = measured["bulk"]
    hours = BILLION / bulk["pictures a second"] / 3600
    workers, shard = 1000, 1000
    shard_seconds = shard / bulk["pictures a second"]
    tail = bulk["slowest"] * shard_seconds
    network = 1e9 * cluster.egress_gbit / 8 / 16
    needed = bulk["pictures a second"] * JPEG_BYTES
    return [
        "| a billion pictures, features, on cores | |",
        "|---|---|",
        f"| measured rate of a core | {bulk['pictures a second']:.1f} pictures/s |",
        f"| core hours, dollars | {hours:,.0f}, {hours * cluster.core_dollars:,.0f} |",
        f"| read, at {JPEG_BYTES / 1e3:.0f} kB | {BILLION * JPEG_BYTES / 1e12:.0f} TB |",
        f"| written, at {bulk['bytes'] / 1e3:.1f} kB | "
        f"{BILLION * bulk['bytes'] / 1e12:.1f} TB |",
        f"| read by a core, of its share of the network | {needed / 1e6:.1f} of "
        f"{network / 1e6:.0f} MB/s |",
        f"| {workers} cores: hours if all end together | {hours / workers:.0f} |",
        f"| spread of a shard's time, the slowest | {bulk['spread']:.0%}, "
        f"{bulk['slowest']:.2f} times the mean |",
        f"| a shard of {shard}: seconds, the slowest | {shard_seconds:.0f}, {tail:.0f} |",
        f"| at most lost to the last shard (Graham 1966) | "
        f"{tail / (3600 * hours / workers):.2%} |",
    ]
