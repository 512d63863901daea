"""The model of bulk prediction, as Apache Beam's RunInference takes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from kerasdl.export.bulk_model import BulkModel
from kerasdl.export.bulk_plan import Plan


class ShardHandler(ModelHandler[int, PredictionResult, BulkModel]):
    """Answers for whole shards, one at a time; a worker loads the model once.

    Args:
        plan: What the numbers of the shards mean.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def load_model(self) -> BulkModel:
        """Loads the model on a worker."""
        return BulkModel(self._plan.model, self._plan.features)

    def run_inference(
        self, batch: Sequence[int], model: BulkModel, inference_args: Any = None
    ) -> Iterable[PredictionResult]:
        """What became of each input of each shard, in order."""
        for shard in batch:
            yield PredictionResult(shard, model.outcomes(self._plan.rows(shard)))

    def batch_elements_kwargs(self) -> dict[str, int]:
        """One shard at a time: it is written before the next one is begun."""
        return {"min_batch_size": 1, "max_batch_size": 1}
