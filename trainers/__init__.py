"""One command for each job: `python -m kerasdl.trainers.captioning --workdir=DIR`."""

import sys

try:
    import ml_collections  # of the extra [jobs]; every trainer needs it
except ImportError:
    sys.exit(
        "error: the trainers need the packages of an extra: "
        "pip install 'kerasdl[jobs]' (ml_collections is not installed)."
    )
del ml_collections, sys
