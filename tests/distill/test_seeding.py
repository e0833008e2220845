"""Streams of chance are told apart by seed, purpose and index, and by nothing else."""

from __future__ import annotations

import itertools

import numpy as np

from distill.seeding import stream


def test_a_stream_is_the_same_every_time() -> None:
    assert np.array_equal(stream(7, "tokens", 3).random(100), stream(7, "tokens", 3).random(100))


def test_streams_do_not_change_from_release_to_release() -> None:
    assert stream(7, "tokens", 3).integers(0, 2**32, 3).tolist() == [43610224, 1174007987, 3592079532]


def test_no_two_seeds_and_chunks_share_a_stream() -> None:
    # The sums of seed and index coincide over and over in this square; the streams must not.
    draws = {stream(seed, "tokens", chunk).bytes(16) for seed, chunk in itertools.product(range(40), range(40))}
    assert len(draws) == 40 * 40


def test_purposes_do_not_share_a_stream() -> None:
    assert stream(7, "tokens").bytes(16) != stream(7, "phase").bytes(16)
