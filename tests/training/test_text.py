import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.configs.text import default
from kerasdl.errors import InputError
from kerasdl.models.text.models import MODELS
from kerasdl.training.optimization import make_optimizer
from kerasdl.training.steps import TrainingSteps
from kerasdl.training.text_corpus import BATCH_SIGNATURE, TextCorpus, TextScorer
from kerasdl.training.text_objective import build_classifier, training_loss

IDS = np.array([[2, 3, 4, 0], [5, 6, 0, 0], [7, 0, 0, 0]], np.int32)
LABELS = np.array([1, 0, 1], np.int32)


def config(**fields):
    chosen = default.get_config()
    chosen.data.generated_train, chosen.data.generated_val = 60, 20
    chosen.data.generated_test = 20
    chosen.update_from_flattened_dict(
        {k.replace("__", "."): v for k, v in fields.items()}
    )
    return chosen


def vectors(tmp_path, words):
    path = tmp_path / "glove.txt"
    path.write_text("".join(f"{w} {i}.5 -{i} 1e-1\n" for i, w in enumerate(words)))
    return str(path)


def test_vectors_of_a_file_start_the_model(tmp_path):
    fields = config(
        model__vectors="glove", model__glove_file=vectors(tmp_path, ["the", "food", "x"])
    )
    corpus = TextCorpus(fields)
    model, note = build_classifier(fields, corpus.vocabulary, 2)
    table = model.word_vectors.table.numpy()
    assert table.shape == (len(corpus.vocabulary), 3)
    food = corpus.vocabulary.encode(["food"])[0]
    np.testing.assert_allclose(table[food], [1.5, -1, 0.1])
    assert f"which has 2 of the vocabulary's {len(corpus.vocabulary.words)} words" in note


def test_frozen_vectors_stay(tmp_path):
    fields = config(
        model__vectors="glove",
        model__glove_file=vectors(tmp_path, ["the", "food"]),
        model__frozen=True,
    )
    corpus = TextCorpus(fields)
    model, note = build_classifier(fields, corpus.vocabulary, 2)
    assert all(v is not model.word_vectors.table for v in model.trainable_variables)
    assert note.endswith("In training they are kept.")


def test_out_of_vocabulary_share_is_reported():
    corpus = TextCorpus(config(data__min_count=1000))
    assert len(corpus.vocabulary.words) == 0
    assert "100.00% of the val split's tokens" in corpus.notes[-1]


def test_scores_do_not_depend_on_batches_of_length():
    fields = config()
    corpus = TextCorpus(fields)
    model, _ = build_classifier(fields, corpus.vocabulary, 2)
    split = corpus.splits["val"]
    scorer = TextScorer(model)
    together = scorer.probabilities(split.rows)
    padded = model.probabilities(model(split.rows.padded())).numpy()
    np.testing.assert_allclose(together, padded, rtol=1e-4, atol=1e-6)
    scores = scorer.scores(split, "val")
    assert scores["val/accuracy"] == np.mean(together.argmax(axis=1) == split.labels)


@pytest.mark.parametrize("name", ["average", "rnn", "lstm", "bilstm"])
def test_adversarial_loss_is_the_worst_nearby_to_first_order(name):
    keras.utils.set_random_seed(0)
    model = MODELS[name](9, 2, width=5)
    model.create_weights()
    epsilon = 1e-2
    clean = training_loss(model, config())(IDS, LABELS).numpy()
    value = training_loss(model, config(adversarial=epsilon))(IDS, LABELS).numpy()
    table, mask = model.word_vectors(IDS)
    with tf.GradientTape() as tape:
        tape.watch(table)
        loss = model.classification_loss(model.score(table, mask), LABELS)
    gradient = tape.gradient(loss, table).numpy()
    norms = np.sqrt((gradient**2).sum(axis=(1, 2)))
    np.testing.assert_allclose(
        2 * value - clean, clean + epsilon * norms.sum(), rtol=1e-4
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_adversarial_step_is_a_constant_for_the_gradient(jit_compile):
    keras.utils.set_random_seed(0)
    model = MODELS["lstm"](9, 2, width=5, units=4)
    model.create_weights()
    loss = training_loss(model, config(adversarial=0.3))

    @tf.function(jit_compile=jit_compile)
    def gradient():
        with tf.GradientTape() as tape:
            value = loss(IDS, LABELS)
        return tape.gradient(value, model.head.kernel.value)

    with tf.GradientTape() as tape:
        given, mask = model.word_vectors(IDS)
        tape.watch(given)
        value = model.classification_loss(model.score(given, mask), LABELS)
    slope = tape.gradient(value, given)
    norm = tf.sqrt(tf.reduce_sum(slope**2, axis=[1, 2], keepdims=True))
    step = 0.3 * slope / norm
    with tf.GradientTape() as tape:
        value = 0.5 * (
            model.classification_loss(model.score(given, mask), LABELS)
            + model.classification_loss(model.score(given + step, mask), LABELS)
        )
    expected = tape.gradient(value, model.head.kernel.value)
    np.testing.assert_allclose(gradient(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ["bag_of_words", "ngram_bag"])
def test_adversarial_needs_word_vectors_alone(name):
    model = MODELS[name](9)
    with pytest.raises(InputError, match=f"got 0.5 for {name}"):
        training_loss(model, config(adversarial=0.5, model__name=name))


def test_negative_adversarial_step():
    with pytest.raises(InputError, match=r"must not be negative, got -1\.0"):
        training_loss(MODELS["average"](9), config(adversarial=-1.0))


@pytest.mark.parametrize(
    ("name", "adversarial"),
    [
        ("rnn", 0.0),
        ("lstm", 0.5),
        pytest.param("bilstm", 0.5, marks=pytest.mark.slow),
    ],
)
def test_xla_compiles_the_recurrent_layers_alone(name, adversarial):
    """The same losses after the same steps; the rest of a step stays a graph."""
    results, compiled = [], []
    for xla in (False, True):
        keras.utils.set_random_seed(0)
        model = MODELS[name](9, 2, width=5, units=4)
        model.create_weights()
        fields = config(xla=xla, adversarial=adversarial, learning_rate=0.1)
        optimizer = make_optimizer(fields, 0.1)
        optimizer.build(model.trainable_variables)
        loss = training_loss(model, fields)
        steps = TrainingSteps(model, optimizer, loss, BATCH_SIGNATURE, 6)
        batches = [(IDS, LABELS), (IDS[:2, :2], LABELS[:2])] * 3
        results.append([row["loss"] for row in steps(batches)])
        loss = tf.function(loss, input_signature=BATCH_SIGNATURE)
        graph = loss.get_concrete_function().graph.as_graph_def()
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        compiled.append(sum(node.attr["_XlaMustCompile"].b for node in nodes))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4)
    assert results[0][-2] < results[0][0]
    assert compiled[0] == 0 < compiled[1]
