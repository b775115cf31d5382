"""The labels of records as numbers, for losses that compare them."""

import numpy as np
import pyarrow as pa

from synth.data.vocabulary import DR, DR_GRADES, FINDING_KEYS, FLAGS

COLUMNS = (DR.key, *FLAGS, "findings")
"""What of a record counts: diseases and findings; not the side, the modality or what can be read in the picture."""
DEGREES = len(DR_GRADES) - 1
"""The highest degree of a label."""
WIDTH = 1 + len(FLAGS) + len(FINDING_KEYS)


def label_sets(table: pa.Table) -> np.ndarray:
    """(N, WIDTH) int8: degree of retinopathy, then diseases, then findings; 0 for absent, -1 for unknown.

    Of a table with `COLUMNS`.
    """
    graded = [table[key].fill_null(-1).to_numpy()[:, None] for key in (DR.key, *FLAGS)]
    stated = table["findings"].to_pylist()
    findings = [[-1 if each is None else int(key in each) for key in FINDING_KEYS] for each in stated]
    return np.hstack([*graded, np.array(findings, np.int8).reshape(-1, len(FINDING_KEYS))]).astype(np.int8)
