"""Classifies generated sentences: the built-in data set, no network, no data to fetch.

    python -m kerasdl.trainers.text_classification --workdir=runs/text

Every field of a text config is declared here; the other files change some.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """All fields, with the values of the built-in experiment."""
    config = ConfigDict()
    config.seed = 0  # of weights, order and dropout
    # mirrored: all devices of this machine; multi_worker: the processes of TF_CONFIG.
    config.distribute = "none"
    # Of training steps; or mixed_bfloat16, mixed_float16 (for GPUs that lack bfloat16).
    config.precision = "float32"

    config.data = ConfigDict()
    # A folder with train.txt and dev.txt (`LABEL sentence` lines) or train.csv ..., one
    # such file, or tfds:NAME; "": generated sentences.
    config.data.root = ""
    config.data.test = ""  # a labelled file to score besides
    config.data.text_column = "text"  # of a CSV or TSV table
    config.data.label_column = "label"  # of a CSV or TSV table
    config.data.labels = ""  # comma-separated, in order; "": those of the training split
    # A text has several labels or none: 1|4, or fastText's __label__A __label__B.
    config.data.multi_label = False
    config.data.tfds_folder = ""  # where TFDS keeps prepared sets; "": its usual place
    # Train on so many sentences of each class, drawn by the seed; the others are learnt
    # from without labels, by pretraining. 0: on all.
    config.data.shots = 0
    config.data.tokenizer = "whitespace"  # or "text": raw text, by tensorflow-text
    config.data.max_tokens = 256  # longer sentences are cut
    config.data.min_count = 1  # rarer words are unknown
    config.data.max_words = 0  # size of the vocabulary; 0: no limit
    # Character n-grams that words have ids of too, < and > marking a word's ends; of
    # average and bag_of_words. 0: none. The shortest of them,
    config.data.min_subword = 0
    config.data.max_subword = 0  # the longest, and
    config.data.subword_buckets = 0  # how many ids their hashes are.
    config.data.skip_bad_lines = False  # skip and count them instead of ending the run
    config.data.generated_train = 6000  # generated for training if root is ""
    config.data.generated_val = 1000  # generated for validation if root is ""
    config.data.generated_test = 2000  # generated for the test if root is ""

    config.model = ConfigDict()
    # bag_of_words, average, ngram_bag, rnn, lstm or bilstm; each uses the fields below
    # that it has an argument for.
    config.model.name = "lstm"
    config.model.vectors = "random"  # or "glove"
    config.model.glove_file = ""  # Stanford's text format; "": the wheel's 50d vectors
    config.model.frozen = False  # keep the word vectors as they start
    config.model.width = 50  # of random word vectors; GloVe's have their own
    config.model.units = 64  # hidden state; of the bilstm, each direction's
    config.model.attention_units = 64  # of the bilstm's attention pooling
    config.model.order = 2  # longest hashed n-gram
    config.model.buckets = 65_536  # of each n-gram length
    config.model.word_dropout = 0.0  # share of words made unknown
    config.model.dropout = 0.2  # on word vectors
    config.model.recurrent_dropout = 0.0  # on hidden states
    config.model.head_dropout = 0.2  # before the linear layer

    # First as language models on the training sentences, without labels (Dai and Le
    # 2015); of bilstm.
    config.pretraining = ConfigDict()
    config.pretraining.epochs = 0  # 0: none
    config.pretraining.learning_rate = 2e-3  # of Adam
    config.pretraining.dropout = 0.3  # on the LSTMs' outputs

    config.epochs = 8  # at most
    config.batch_size = 64  # sentences
    config.learning_rate = 3e-3  # of Adam, at the start
    config.schedule = "cosine"  # to 0 over `epochs`; or "exponential"
    config.warmup = 0.0  # epochs of linear warm-up, of "cosine"
    config.rate_decay = 1.0  # of "exponential", per epoch
    config.weight_decay = 0.0  # of AdamW; 0: Adam
    config.clip_norm = 1.0  # of the whole gradient; 0: none
    config.label_smoothing = 0.0  # share of each target that is spread over all classes
    # Length of the step to adversarial word vectors (Miyato et al. 2017); 0: none.
    config.adversarial = 0.0
    config.xla = False  # compile the recurrent layers, once for each length of a batch
    config.monitor = "val/accuracy"  # chooses the epoch that is kept
    config.patience = 0  # epochs without a better one before stopping; 0: never
    config.calibration = ConfigDict()
    # Divide the logits by a temperature that makes the validation split likeliest.
    config.calibration.temperature = False
    # Decide at thresholds that are best on the validation split: accuracy or f1; none:
    # the likeliest class, 0.5 of several labels.
    config.calibration.thresholds = "none"

    # Search rates, sizes and dropout on the validation split for so many minutes of
    # training, and keep the best model. 0: train with the settings as they are.
    config.autotune_minutes = 0.0
    # Product-quantise word vectors after training, so that weights and vocabulary take at
    # most so many megabytes; of models that begin with word vectors. 0: no limit.
    config.max_megabytes = 0.0
    # So many further models, of the next seeds, to find the validation sentences that all
    # of them contradict alike: labels that may be wrong. 0: none.
    config.noise_seeds = 0
    config.memory_horizon = False  # measure how far back gradients reach, every epoch

    config.report = ConfigDict()
    config.report.samples = 14  # sentences in samples.png and in mistakes.png
    return config
