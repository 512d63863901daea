"""Captions the slow way: one picture, one word at a time, in NumPy.

Obviously the equations of `CaptionDecoder` and the definitions of greedy and beam search
over Python lists; everything fast is compared with it.
"""

import collections
import itertools

import numpy as np

from kerasdl.data.captions.vocabulary import END, NULL, START, UNK
from kerasdl.decoding.constraints import Constraints


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


class NumpyDecoder:
    """A `CaptionDecoder`'s arithmetic in float64, from a copy of its weights."""

    def __init__(self, decoder):
        self.rnn, self.scale = decoder.rnn, decoder.feature_scale
        self.mean, self.variance = np.array(decoder.mean), np.array(decoder.variance)
        self.w_proj, self.b_proj = decoder.projection.get_weights()
        (self.words,) = decoder.embedding.get_weights()
        self.w_x, self.w_h, self.b = (np.array(w) for w in decoder.recurrent.weights[:3])
        self.w_vocab, self.b_vocab = decoder.vocabulary.get_weights()

    def start(self, features):
        """State before the first word, of one picture: features (F,)."""
        z = self.scale * (features.astype("float64") - self.mean) / np.sqrt(self.variance)
        h = z @ self.w_proj + self.b_proj
        return h, np.zeros_like(h)

    def step(self, token, state):
        """Log-probabilities (V,) of the word after `token`, and the new state."""
        h, c = state
        a = self.words[token] @ self.w_x + h @ self.w_h + self.b
        if self.rnn == "rnn":
            h = np.tanh(a)
        else:
            i, f, g, o = np.split(a, 4)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
        logits = h @ self.w_vocab + self.b_vocab
        return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max(), (h, c)


def log_probability(decoder, features, caption):
    """Of the tokens of a caption, `<END>` included where it is there."""
    state, previous, total = decoder.start(features), START, 0.0
    for token in caption:
        log_p, state = decoder.step(previous, state)
        total += log_p[token]
        previous = token
    return total


def _words(log_p, caption=(), max_length=0, constraints=Constraints()):  # noqa: B008
    """The words that may follow the beginning `caption`."""
    words = [token for token in range(len(log_p)) if token not in (NULL, START, UNK)]
    size = constraints.no_repeat_ngram
    said = {tuple(caption[i : i + size]) for i in range(len(caption) - size + 1)}
    dangling = {START, *constraints.dangling} if constraints.dangling else set()
    allowed = []
    for word in words:
        longer = [*caption, word]
        cut = len(longer) == max_length
        if not (
            word in constraints.forbidden
            or (size and tuple(longer[-size:]) in said and len(longer) >= size)
            or (word == END and [START, *caption][-1] in dangling)
            or (cut and word in dangling)
        ):
            allowed.append(word)
    return allowed or [END]


def greedy(decoder, features, max_length, constraints=Constraints()):  # noqa: B008
    """The caption, a list of tokens, and its log-probability."""
    state, caption, total = decoder.start(features), [], 0.0
    while len(caption) < max_length and END not in caption:
        log_p, state = decoder.step(caption[-1] if caption else START, state)
        words = _words(log_p, caption, max_length, constraints)
        token = max(words, key=lambda word: log_p[word])
        caption.append(token)
        total += log_p[token]
    return caption, total


def beam(decoder, features, max_length, beam_size, length_penalty, **options):
    """The best finished caption of a beam, and its log-probability; no early end."""
    return n_best(decoder, features, max_length, beam_size, length_penalty, **options)[0]


def n_best(
    decoder,
    features,
    max_length,
    beam_size,
    length_penalty,
    required=(),
    constraints=Constraints(),  # noqa: B008
):
    """All that a beam finishes, the best first: pairs of caption and log-probability."""
    alive, finished = [([], 0.0, decoder.start(features))], []
    for _ in range(max_length):
        longer = []
        for caption, total, state in alive:
            log_p, new_state = decoder.step(caption[-1] if caption else START, state)
            for word in _words(log_p, caption, max_length, constraints):
                if word != END or set(required) <= set(caption):
                    longer.append(([*caption, word], total + log_p[word], new_state))
        longer.sort(key=lambda hypothesis: -hypothesis[1])
        alive, kept = [], collections.Counter()
        for hypothesis in longer:
            said = frozenset(hypothesis[0]) & frozenset(required)
            kept[said] += 1  # a beam for each set of required words
            if kept[said] <= beam_size:
                ended = hypothesis[0][-1] == END or len(hypothesis[0]) == max_length
                if not ended:
                    alive.append(hypothesis)
                elif len(said) == len(required):
                    finished.append(hypothesis)
    finished.sort(key=lambda h: -h[1] / len(h[0]) ** length_penalty)
    return [(caption, total) for caption, total, _ in finished]


def every_caption(vocabulary_size, max_length):
    """All captions that a search may return: ended by `<END>`, or of full length."""
    words = [w for w in range(vocabulary_size) if w not in (NULL, START, END, UNK)]
    for length in range(max_length):
        for beginning in itertools.product(words, repeat=length):
            yield [*beginning, END]
    yield from map(list, itertools.product(words, repeat=max_length))
