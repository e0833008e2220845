"""Sound put into a space, as a stream: one channel, two for loudspeakers, or two for headphones.

Stereo of one channel is a middle, which is that channel untouched, and sides of one decorrelated signal, in one channel
added and in the other subtracted: whatever it is, in the sum of both it is gone. Binaural sound is that of two
loudspeakers in front of a head that was measured, and of walls around it.

Sources: Lauridsen 1954 and Orban 1970, as in decorrelation.py; Gardner and Martin, HRTF measurements of a KEMAR,
JASA 97(6), 1995 (the head); Allen and Berkley, Image method for efficiently simulating small-room acoustics, JASA
65(4), 1979 (reflections as sources further away).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from distill.audio import hrtf
from distill.audio.blocks import cut
from distill.audio.convolution import Convolver, convolve
from distill.audio.decorrelation import decorrelator
from distill.audio.space import MODES, Space

__all__ = ["MODES", "Space", "spatialise"]

Block = NDArray[np.float32]

SIDE = 1 / 3
"""Level of the sides against the middle at width 1. At width 1.5 it is a half, and the channels' mean power then is
10 log10(1.25) = 0.97 dB over that of their sum: what is lost in mono, at most and at any frequency."""
SPEAKER_DEGREES = 60.0
"""Azimuth of the virtual loudspeakers at width 1."""
REFLECTIONS = (
    (110.0, 7.1, 1.0, 0.0),
    (-110.0, 9.7, 0.0, 1.0),
    (150.0, 17.3, 1.0, 0.0),
    (-150.0, 21.9, 0.0, 1.0),
    (180.0, 33.7, 0.5, 0.5),
)
"""Where walls reflect from, in degrees of azimuth; how many ms after the loudspeakers; how much of the left one, and of
the right one."""
TAIL_MS = 1.0
"""What filters of the walls ring on."""
DISTANCE_MS = 6.0
"""How long sound takes from the loudspeakers: a reflection is weaker by as much as its way is longer."""
DULL_HZ = 8000.0
"""Corner of the low-pass of a reflection after DULL_MS; it falls with the root of the delay."""
DULL_MS = 5.0


def spatialise(blocks: Iterable[Block], sample_rate: int, space: Space) -> Iterator[Block]:
    """`blocks [channels, samples]` of one channel or two, at `sample_rate` in Hz, as `[space.channels, samples]`.

    As many samples as came, none of them later, and the same whatever blocks they came in; memory does not grow with
    their number. In mono, the mean of the channels. In stereo, width scales what two channels differ by, and depth
    does nothing to them; one channel is spread over two by its width, and depth is how long the spread rings. In
    binaural, width moves the loudspeakers apart and depth raises the level of reflections.

    Raises `DistillError` for a SOFA file that cannot be used, before any block is asked for.
    """
    if space.mode == "binaural":
        room = _room(sample_rate, hrtf.load(space.hrtf), space.width, space.depth)
        return _heard(blocks, sample_rate, room)
    return _mixed(blocks) if space.mode == "mono" else _widened(blocks, sample_rate, space)


def _mixed(blocks: Iterable[Block]) -> Iterator[Block]:
    """The mean of the channels of `blocks [channels, samples]`."""
    for block in blocks:
        yield block if len(block) == 1 else (block[:1] + block[1:]) * np.float32(0.5)


def _widened(blocks: Iterable[Block], sample_rate: int, space: Space) -> Iterator[Block]:
    """Two channels of `blocks` with one, or with two, which are the same to the bit at width 1."""
    channels, blocks = _counted(blocks)
    if channels == 1:
        yield from _spread(blocks, SIDE * space.width * decorrelator(sample_rate, space.depth))
        return
    for block in blocks:
        change = (block[0] - block[1]) * np.float32((space.width - 1) / 2)
        yield np.stack([block[0] + change, block[1] - change])


def _counted(blocks: Iterable[Block]) -> tuple[int, Iterator[Block]]:
    """How many channels `blocks [channels, samples]` have, and all of them."""
    blocks = iter(blocks)
    first = list(islice(blocks, 1))
    return len(first[0]) if first else 1, chain(first, blocks)


def _spread(blocks: Iterable[Block], side: NDArray[np.float64]) -> Iterator[Block]:
    """`blocks [1, samples]`, with the filter `side [taps]`, as two channels that have them as their mean."""
    filters = Convolver(side[None, None])
    for middle in cut(blocks, filters.step):
        difference = filters.push(middle)
        yield np.concatenate([middle + difference, middle - difference])


def _heard(blocks: Iterable[Block], sample_rate: int, room: NDArray[np.float64]) -> Iterator[Block]:
    """What both ears hear of `blocks` from the loudspeakers in a `room [2, 2, taps]`."""
    channels, blocks = _counted(blocks)
    yield from convolve(
        blocks, Convolver(room if channels == 2 else _spread_over(room, decorrelator(sample_rate, 0.0)))
    )


def _spread_over(room: NDArray[np.float64], side: NDArray[np.float64]) -> NDArray[np.float64]:
    """From one channel, spread at width 1, over both loudspeakers to both ears: `[2, 1, taps]`."""
    taps = room.shape[2] + len(side) - 1
    spectra, difference = np.fft.rfft(room, taps), SIDE * np.fft.rfft(side, taps)
    both = spectra[:, 0] * (1 + difference) + spectra[:, 1] * (1 - difference)
    return np.fft.irfft(both, taps)[:, None]


@lru_cache(maxsize=4)
def _room(sample_rate: int, head: hrtf.Hrtf, width: float, depth: float) -> NDArray[np.float64]:
    """From two loudspeakers to both ears `[ears, loudspeakers, taps]`: half of each, so that the middle keeps level."""
    angle = SPEAKER_DEGREES * width
    paths = ((angle, 0.0, 1.0, 0.0), (-angle, 0.0, 0.0, 1.0), *(REFLECTIONS if depth else ()))
    azimuths, delays, *shares = np.array(paths).T
    responses = hrtf.resampled(head.towards(azimuths), head.sample_rate, sample_rate)
    taps = responses.shape[2] + round((delays.max() + TAIL_MS) / 1000 * sample_rate)
    room = np.zeros((2, 2, taps // 2 + 1), np.complex128)
    for response, delay, left, right in zip(responses, delays, *shares, strict=True):
        heard = np.fft.rfft(response, taps)
        if delay:
            heard *= depth * _far(delay, taps, sample_rate)
        room += 0.5 * heard[:, None] * np.array([left, right])[None, :, None]
    return np.fft.irfft(room, taps)


def _far(delay_ms: float, taps: int, sample_rate: int) -> NDArray[np.complex128]:
    """The spectrum `[bins]` of a way longer by `delay_ms`: later, weaker, duller."""
    turn = np.exp(-2j * np.pi * np.arange(taps // 2 + 1) / taps)  # one sample's delay
    corner = DULL_HZ * (DULL_MS / delay_ms) ** 0.5
    pole = np.exp(-2 * np.pi * corner / sample_rate)
    weaker = DISTANCE_MS / (DISTANCE_MS + delay_ms)
    spectrum: NDArray[np.complex128] = (
        weaker * turn ** round(delay_ms / 1000 * sample_rate) * (1 - pole) / (1 - pole * turn)
    )
    return spectrum
