"""A server of SavedModels that speaks TensorFlow Serving's REST interface.

    routes.py     the HTTP side: paths, limits, errors, metrics, the page
    tensors.py    JSON to tensors and back, by TensorFlow Serving's rules
    worker.py     the process that runs the model: batches in, answers out
    versions.py   which versions of the model are loaded
    warmup.py     requests that a version answers before it is available
    server.py     both sides together, on LitServe

The HTTP side imports no TensorFlow; the worker imports no HTTP.
"""
