"""Classifies drawn shapes on frozen features: no network, no data to fetch.

    python -m kerasdl.trainers.transfer --workdir=runs/transfer

With `--config.data.root=FOLDER` of class folders it trains on those pictures. Every field
of a transfer config is declared here; the other files change some.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """All fields, with the values of the built-in experiment."""
    config = ConfigDict()
    config.seed = 0  # of weights, order and augmentation
    # mirrored: all devices of this machine; multi_worker: the processes of TF_CONFIG.
    config.distribute = "none"
    # Of training steps; or mixed_bfloat16, mixed_float16 (for GPUs that lack bfloat16).
    config.precision = "float32"
    # freeze: the head alone is trained; finetune: the network too; linear, prototype: the
    # head is computed from the features at once, for few pictures a class.
    config.mode = "freeze"
    # Of a picture: one of the classes; multi_label: several or none of them; ordinal: one
    # of classes that have an order, far mistakes being the worse.
    config.target = "classes"

    config.data = ConfigDict()
    # Folder of class folders, or with labels.csv (columns image, labels and perhaps
    # split), or "tfds:NAME"; "": drawn shapes.
    config.data.root = ""
    config.data.labels = ""  # the classes in their order, with commas; "": sorted
    config.data.test = ""  # class folders to score besides
    config.data.val_share = 0.2  # of the training pictures, if there is no val folder
    config.data.drawn_train = 240  # drawn for training if root is ""
    config.data.drawn_val = 120  # drawn for validation if root is ""
    config.data.drawn_test = 120  # drawn for the test if root is ""
    config.data.preparation = "squash"  # the whole picture; "crop": its middle
    config.data.tfds_folder = ""  # where TFDS keeps its sets; "": its usual place
    config.data.cache = ""  # folder of picture features; "": ~/.cache/kerasdl

    config.augment = ConfigDict()
    config.augment.min_area = 1.0  # least share of a random crop; 1.0: no random crop
    config.augment.flip = True  # mirror every other picture
    config.augment.colour = 0.0  # jitter of brightness, contrast and saturation
    config.augment.variants = 2  # views of a picture when features are cached
    config.augment.rand_operations = 0  # of RandAugment, for each picture
    config.augment.rand_strength = 9.0  # of these operations, up to 10
    config.augment.mixup = 0.0  # α of mixup, of "finetune"; 0: none
    config.augment.cutmix = 0.0  # α of CutMix, of "finetune"; 0: none

    config.model = ConfigDict()
    config.model.backbone = "efficientnet_lite0"  # or one of list_backbones()
    config.model.image_size = 128  # pixels; 0: the backbone's own
    config.model.dropout = 0.0  # on the features, before the head
    config.model.freeze = "none"  # of "finetune": none, all, stages:N or regex:PATTERN
    config.model.update_batch_norm = True  # statistics of layers that are not frozen
    config.model.mirrored = False  # answers are means over a picture and its mirror image

    config.weights = ""  # the backbone's weights from a file; "": those it ships with
    config.cache_features = True  # of "freeze": features once per picture and view
    config.probe_steps = 0  # of "finetune": steps that fit the head before it begins
    config.linear_start = False  # of "finetune": it begins with the head of mode "linear"

    config.epochs = 25  # at most
    config.batch_size = 16  # pictures
    config.optimizer = "adamw"  # or "sgd"
    config.learning_rate = 1e-2  # at the start
    config.momentum = 0.9  # of "sgd"
    config.lr_find = "none"  # report: draw losses by rate first; use: train at the best
    config.layer_decay = 1.0  # rate of a group of layers over that of the group behind it
    config.unfreeze_every = (
        0  # epochs; of "finetune": the head, then one group more; 0: all
    )
    config.ema = 0.0  # the past's weight in the average of weights that is kept; 0: none
    config.schedule = "cosine"  # to 0 over `epochs`; "step" or "one_cycle"
    config.warmup = 0.0  # epochs, of "cosine" and "one_cycle"
    config.rate_decay = 0.1  # of "step", each `decay_every` epochs
    config.decay_every = 7  # epochs
    config.weight_decay = 0.0  # of kernels, not of biases and BatchNorm
    config.clip_norm = 0.0  # of the whole gradient; 0: none
    config.label_smoothing = 0.0  # share of each target that is spread over all classes
    config.class_weights = "none"  # or "balanced"
    # Of probabilities, by one temperature: folds: fitted by cross-validation inside the
    # training pictures, each fold trained anew; val: on the validation pictures.
    config.calibration = "none"
    config.calibration_folds = 5  # at least 2
    config.monitor = "val/loss"  # chooses the epoch that is kept
    config.patience = 0  # epochs without a better one before stopping; 0: never

    config.report = ConfigDict()
    config.report.samples = 9  # pictures in samples.png
    config.report.mistakes = 9  # at most, in mistakes.png
    config.report.maps = 6  # pictures with class maps, in class_maps.png
    config.report.compare = ""  # workdirs of other runs to set beside, with commas
    return config
