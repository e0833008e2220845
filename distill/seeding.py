"""Random streams: from (seed, purpose, index) to independent generators. The only source of chance.

File i of a batch has the seed S + i and nothing else of the batch; so it is the file that its seed makes
alone. Within a file, every purpose and chunk has a stream of its own, so no draw depends on the order,
the batch size or the number of workers in which chunks are made.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """A generator of its own for one `purpose` ("tokens", "phase", ...) and chunk `index` of the file `seed`.

    Streams of different arguments are independent: `numpy.random.SeedSequence` hashes the three, it does
    not add them up. The bits are PCG64's, the same on every platform.
    """
    key = (zlib.crc32(purpose.encode()), index)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy=seed, spawn_key=key)))
