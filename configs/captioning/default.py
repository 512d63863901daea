"""Captions drawn scenes: the built-in data set, no network, no data to fetch.

    python -m kerasdl.trainers.captioning --workdir=runs/captioning

Every field of a captioning config is declared here; the other files change some.

Headline: test/bleu4 0.987 (seed 0)
"""

from ml_collections import ConfigDict

from kerasdl.decoding.options import default_options


def get_config() -> ConfigDict:
    """All fields, with the values of the built-in experiment."""
    config = ConfigDict()
    config.seed = 0  # of weights, order and dropout
    # mirrored: all devices of this machine; multi_worker: the processes of TF_CONFIG.
    config.distribute = "none"
    # Of training steps; or mixed_bfloat16, mixed_float16 (for GPUs that lack bfloat16).
    config.precision = "float32"

    config.data = ConfigDict()
    config.data.root = (
        ""  # Flickr8k or COCO folder, or a CSV / JSON-lines file; "": drawn
    )
    config.data.test = ""  # captions to score besides, in any of those layouts
    config.data.drawn_train = 2400  # drawn for training if root is ""
    config.data.drawn_val = 200  # drawn for validation if root is ""
    config.data.drawn_test = 300  # drawn for the test if root is ""
    config.data.train_pictures = 0  # how many of the training split to use; 0: all
    config.data.captions_per_picture = 0  # how many of a picture's captions; 0: all
    config.data.max_words = 30  # longer training captions are cut
    config.data.min_count = 1  # rarer words become <UNK>
    config.data.skip_bad_lines = False  # skip and count them instead of ending the run
    config.data.views = 1  # of a picture; 2: its mirror image too; more: parts of it
    config.data.cache = ""  # folder of picture features; "": ~/.cache/kerasdl

    config.model = ConfigDict()
    config.model.backbone = "efficientnet_lite0"  # or one of list_backbones()
    config.model.layer = "block10_add"  # of the backbone, whose cells are used; "": last
    config.model.image_size = 160  # pixels; pictures are squashed to a square
    config.model.grid = 10  # 0: pooled features; k: k x k cells, so that places survive
    config.model.attention = True  # on the cells; False: they are one long vector
    config.model.feature_scale = 1.0  # on the standardised features
    config.model.attention_score = "dot"  # or "additive"
    # Principal components of a cell that are attended to, beside which the features of
    # the whole picture are those of all its views; 0: all features of a cell.
    config.model.components = 0
    config.model.features_in = "h_0"  # or "every_step", or "both"
    config.model.h_0_activation = "linear"  # or "tanh", or "relu"
    config.model.input_activation = "linear"  # of the picture in each input, likewise
    config.model.input_units = 0  # of the picture in each input; 0: embedding_dim
    config.model.rnn = "lstm"  # or "gru", or "rnn"
    config.model.layers = 1  # recurrent layers, one on the other
    config.model.units = 256  # hidden state
    config.model.embedding_dim = 256  # length of a word vector
    config.model.dropout = 0.0  # on word vectors and on the recurrent output
    config.model.feature_dropout = 0.0  # on the standardised features
    config.model.tied = False  # whether the vocabulary layer shares the word vectors
    config.model.glove = False  # whether the word vectors start from GloVe's
    config.model.members = 1  # decoders whose word probabilities are averaged

    config.weights = ""  # the backbone's weights from a file; "": those it ships with

    config.epochs = 3  # of cross-entropy
    config.batch_size = 64  # captions
    config.learning_rate = 2e-3  # of Adam, at the start
    config.schedule = "cosine"  # to 0 over `epochs`; or "exponential"
    config.rate_decay = 1.0  # of "exponential", per epoch
    config.label_smoothing = 0.0  # share of each target that is spread over all words
    config.scheduled_sampling = 0.0  # share of the model's own input words, at the end
    config.self_critical = ConfigDict()
    config.self_critical.epochs = 0  # after the others, rewarded by CIDEr
    config.self_critical.learning_rate = 1e-4  # constant
    config.weight_decay = 0.0  # of AdamW; 0: Adam
    config.clip_norm = 0.0  # of the whole gradient; 0: none
    config.monitor = "val/cider"  # chooses the epoch that is kept
    config.patience = 0  # epochs without a better one before stopping; 0: never
    config.memory_horizon = False  # measure how far back gradients reach, every epoch

    # What kerasdl.decoding.DecodeOptions says; words have spaces between them.
    config.decode = ConfigDict(default_options())
    config.decode.max_length = 30  # words

    config.report = ConfigDict()
    config.report.samples = 9  # pictures in samples.png
    config.report.attended = 3  # pictures in attention.png, of a model with attention
    config.report.train_pictures = 100  # training pictures captioned for train/ metrics
    return config
