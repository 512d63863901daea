"""The server's metrics for Prometheus."""

import prometheus_client as prometheus


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        kwargs = {"registry": self.registry}
        self.requests = prometheus.Counter(
            "kerasdl_requests", "Predict requests answered.", ["code"], **kwargs
        )
        self.seconds = prometheus.Histogram(
            "kerasdl_request_seconds",
            "From a predict request's first byte to its answer.",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
            **kwargs,
        )
        self.rows = prometheus.Counter("kerasdl_rows", "Rows answered.", **kwargs)
        self.batches = prometheus.Histogram(
            "kerasdl_batch_rows",
            "Rows that ran at once, as each request saw it.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            **kwargs,
        )
        self.waiting = prometheus.Gauge(
            "kerasdl_requests_waiting", "Predict requests not answered yet.", **kwargs
        )
        self.available = prometheus.Gauge(
            "kerasdl_version_available",
            "1 if the version is served.",
            ["model", "version"],
            **kwargs,
        )

    def text(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return prometheus.generate_latest(self.registry)


CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
