"""The text classifiers by the names that configs use."""

from __future__ import annotations

from kerasdl.models.text.average import AverageOfVectors
from kerasdl.models.text.bag_of_words import BagOfWords
from kerasdl.models.text.bilstm import PooledBiLSTM
from kerasdl.models.text.classifier import TextClassifier
from kerasdl.models.text.ngram_bag import HashedNgramBag
from kerasdl.models.text.recurrent import LastStepLSTM, LastStepRNN

MODELS: dict[str, type[TextClassifier]] = {
    "bag_of_words": BagOfWords,
    "average": AverageOfVectors,
    "ngram_bag": HashedNgramBag,
    "rnn": LastStepRNN,
    "lstm": LastStepLSTM,
    "bilstm": PooledBiLSTM,
}
