"""A program: where the operations of two training steps run.

    python placements.py DEVICE JOB [FIELD=VALUE ...]

DEVICE is CPU:1, a second logical device of this machine's processor, or GPU:0. Prints an
object: `elsewhere`, the operations that ran on another; `to_host`, the types of values
that left the device; `pinned`, operations that name a device in the graph; `without_gpu`,
those for whose types this TensorFlow has no GPU kernel; `host`, floating-point inputs
that a GPU kernel inside a loop would take from the host's memory.
"""

import json
import sys

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import kernels

from tests.training.tiny import built

# What only names an argument or a result of a graph, or orders operations.
NO_KERNEL = ("_Arg", "_Retval", "NoOp", "Placeholder")
TRANSFERS = ("_Send", "_Recv", "_HostSend", "_HostRecv")
FLOATS = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


def gpu_kernels(node):
    """The kernels of a node's operation on a GPU, for its types."""
    return [
        kernel
        for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
        if kernel.device_type in ("GPU", "DEFAULT")
        and all(
            node.attr[one.name].type in one.allowed_values.list.type
            for one in kernel.constraint
        )
    ]


def host_inputs(node):
    """The floating-point inputs that every such kernel takes from the host."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    types = {
        argument.name: node.attr[argument.type_attr].type or argument.type
        for argument in definition.input_arg
    }
    on_host = [set(kernel.host_memory_arg) for kernel in gpu_kernels(node)]
    common = set.intersection(*on_host) if on_host else set()
    return [name for name in common if types.get(name) in FLOATS]


def nodes_of(graph):
    """The nodes of a graph, and of its functions with their names."""
    yield from (("", node) for node in graph.node)
    for function in graph.library.function:
        yield from ((function.signature.name, node) for node in function.node_def)


def scan(device, name, **fields):
    """What the program prints."""
    with tf.device(device):
        objective, _, steps = built(name, **fields)
        batches = list(objective.batches(0))[:2]
        tf.config.set_soft_device_placement(False)
        context.context().enable_run_metadata()
        steps(batches)
        metadata = context.context().export_run_metadata()
    found = {key: set() for key in ("pinned", "without_gpu", "host")}
    elsewhere, to_host = set(), set()
    # The step is the largest graph that ran; others convert and add up scalars.
    ran = max(metadata.function_graphs, key=lambda g: g.pre_optimization_graph.ByteSize())
    for partition in ran.partition_graphs:
        for node in partition.node:
            if not node.device.endswith(device) and node.op not in TRANSFERS:
                elsewhere.add(node.op)
            if node.op in ("_Send", "_HostSend") and leaves(node, device):
                to_host.add(tf.as_dtype(node.attr["T"].type).name)
    for function, node in nodes_of(ran.pre_optimization_graph):
        if node.op in NO_KERNEL:
            continue
        wanted = node.device and not node.device.endswith(device)
        if wanted:
            found["pinned"].add(f"{node.name} {node.op} {node.device}")
        if not gpu_kernels(node) and not is_function(node, ran.pre_optimization_graph):
            types = [node.attr[key].type for key in ("T", "Tlen", "dtype", "Tidx")]
            types = ", ".join(tf.as_dtype(t).name for t in types if t)
            found["without_gpu"].add(f"{node.op}({types}) {node.name}")
        elif "while" in function and host_inputs(node):
            found["host"].add(f"{node.op} {host_inputs(node)}")
    return {
        "elsewhere": sorted(elsewhere),
        "to_host": sorted(to_host),
        **{key: sorted(value) for key, value in found.items()},
    }


def leaves(node, device):
    """Whether a value is sent from the device to another."""
    ends = [node.attr[k].s.decode() for k in ("send_device", "recv_device")]
    order_alone = "/ctrl/" in node.input[0]  # an empty constant
    return ends[0].endswith(device) and not ends[1].endswith(device) and not order_alone


def is_function(node, graph):
    """Whether a node calls a function of the graph by its name."""
    return node.op in {f.signature.name for f in graph.library.function}


if __name__ == "__main__":
    device, name, *pairs = sys.argv[1:]
    if device == "CPU:1":
        (processor,) = tf.config.list_physical_devices("CPU")
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(processor, two)
    fields = dict(pair.split("=", 1) for pair in pairs)
    print(json.dumps(scan(device, name, **fields)))
