"""Ants and bees as a TensorFlow Datasets builder.

Importing this module registers it:

    import tensorflow_datasets as tfds
    import kerasdl.data.pictures.hymenoptera_builder

    pictures = tfds.load("hymenoptera", split="train")

The pictures are those of PyTorch's transfer-learning tutorial, from ImageNet, for
research. They are downloaded, unless they already lie in TFDS's folder for manual
downloads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from kerasdl.data.pictures.files import is_picture_name

URL = "https://download.pytorch.org/tutorial/hymenoptera_data.zip"
# As the tutorial's own build checks it.
SHA256 = "fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209"
BYTES = 47_286_322
FOLDER = "hymenoptera_data"
CLASSES = ("ants", "bees")


class Hymenoptera(tfds.core.GeneratorBasedBuilder):
    """Pictures of ants and of bees: 244 to train on, 153 to validate.

    Features of an example: `image` uint8 (height, width, 3); `label`, ants or bees;
    `name` string.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "The tutorial's zip, less its placeholder GIF."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Where there is no network: unpack {URL} as `{FOLDER}` into the folder for "
        "manual downloads, so that `hymenoptera_data/train/ants` is there."
    )

    # TFDS reads a checksums.tsv beside the builder; one zip needs no file of its own.
    url_infos: ClassVar = {
        URL: tfds.download.checksums.UrlInfo(BYTES, SHA256, f"{FOLDER}.zip")
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Ants and bees, the pictures of a transfer-learning tutorial.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=CLASSES),
                    "name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://pytorch.org/tutorials/beginner/transfer_learning_tutorial",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        root = _manual_folder(dl_manager)
        if root is None:
            root = Path(dl_manager.download_and_extract(URL)) / FOLDER
        return {
            tfds.Split.TRAIN: self._generate_examples(root / "train"),
            tfds.Split.VALIDATION: self._generate_examples(root / "val"),
        }

    def _generate_examples(self, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        for label in CLASSES:
            for path in sorted((folder / label).iterdir()):
                if is_picture_name(path.name):
                    name = f"{label}/{path.name}"
                    yield name, {"image": str(path), "label": label, "name": name}


def _manual_folder(dl_manager: Any) -> Path | None:
    try:
        folder = Path(dl_manager.manual_dir) / FOLDER
    except AssertionError:  # how TFDS says that there is no such folder, or it is empty
        return None
    return folder if folder.is_dir() else None
