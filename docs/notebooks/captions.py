# %% [markdown]
# # Captions
#
# A captioner looks at a picture and writes a sentence. This one learns in seconds, from
# scenes of coloured shapes that the package draws, each with five captions.

# %%
import io
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import matplotlib.pyplot as plt
from PIL import Image

import kerasdl
from kerasdl.data.drawn.scenes import drawn_scenes

# %% [markdown]
# `kerasdl.train` does what the command does. An eighth of the usual pictures, smaller
# ones, are enough for sentences that are grammatical and often right.

# %%
run = kerasdl.train(
    "configs/captioning/default.py",
    "captions_run",
    data={"drawn_train": 320, "drawn_val": 20, "drawn_test": 40},
    model={"image_size": 96, "grid": 6},
    epochs=6,
    batch_size=32,
    learning_rate=4e-3,
    report={"samples": 3, "attended": 1, "train_pictures": 10},
)
print(
    {name: round(run.metrics[f"test/{name}"], 3) for name in ("bleu1", "bleu4", "cider")}
)
assert run.metrics["test/bleu1"] > 0.4

# %% [markdown]
# A run can be loaded by its folder, or by what `train` returned.

# %%
captioner = kerasdl.load(run)
unseen = [picture.data for picture in drawn_scenes(99, train=0, val=0, test=4).test]
answers = captioner.predict(unseen)
figure, axes = plt.subplots(4, 1, figsize=(5, 8))
for axis, picture, answer in zip(axes, unseen, answers, strict=True):
    axis.imshow(Image.open(io.BytesIO(picture)))
    axis.set_title(answer["caption"], fontsize=9)
    axis.set_axis_off()

# %% [markdown]
# Your own pictures: [Your own data](../data.md) lists the layouts, and [image
# captioning](../captioning.md) what the models and the decoder can do.
