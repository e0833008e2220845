"""A mel spectrum becomes a waveform that has it: as a stream, in segments that join without a seam."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from distill.audio.inversion import LOOKAHEAD_FRAMES, NNLS_ITERATIONS, SEGMENT_FRAMES, MelInverter, invert, mel_to_power
from distill.audio.mel import Spectrogram
from distill.audio.stitching import crossfade
from distill.seeding import stream

SETTINGS = Spectrogram()
SMALL = Spectrogram(n_fft=512, hop_length=128, n_mels=40)


@cache
def pluck() -> Tensor:
    """Five seconds of decaying partials, struck every second, over a little noise."""
    t = np.arange(5 * 48000) / 48000
    decay = np.exp(-3 * (t % 1))
    partials = sum(np.sin(2 * np.pi * 220 * k * t) / k for k in range(1, 12))
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(t))
    return torch.from_numpy((0.2 * decay * partials + noise).astype(np.float32))


def inverted(mel: Tensor, block: int, settings: Spectrogram, seed: int = 1, **how: int) -> Tensor:
    """The waveform of `mel [n_mels, frames]`, pushed in blocks of `block` frames."""
    inverter = MelInverter(settings, stream(seed, "phase"), **how)
    return torch.cat([*(inverter.push(m) for m in mel.split(block, dim=1)), inverter.finish()])


def error(mel: Tensor, wave: Tensor, settings: Spectrogram) -> float:
    """Mean log-mel error in dB."""
    found = settings.mel(wave)[:, : mel.shape[1]]
    return float(10 * ((found + 1e-6) / (mel[:, : found.shape[1]] + 1e-6)).log10().abs().mean())


@pytest.mark.parametrize("block", [1, 7, 94, 188])
def test_the_samples_do_not_depend_on_the_cut_into_blocks(block: int) -> None:
    mel = SMALL.mel(pluck()[: 128 * 500])
    assert torch.equal(inverted(mel, block, SMALL), inverted(mel, 10**6, SMALL))


def test_phases_come_from_the_generator_alone() -> None:
    mel = SMALL.mel(pluck()[:20000])
    first, again, other = (inverted(mel, 50, SMALL, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("samples", [1, 127, 128, 129, 128 * SEGMENT_FRAMES, 128 * 3 * SEGMENT_FRAMES + 5])
def test_exactly_the_samples_asked_for_come(samples: int) -> None:
    mel = torch.ones(SMALL.n_mels, SMALL.frames_for(samples) + 3)
    blocks = list(invert(mel.split(89, dim=1), samples, SMALL, stream(1, "phase")))
    assert sum(b.shape[1] for b in blocks) == samples
    assert {(b.dtype, b.shape[0]) for b in blocks} == {(np.dtype(np.float32), 1)}


def test_the_waveform_has_the_spectrum_it_was_made_from() -> None:
    mel = SETTINGS.mel(pluck())
    made = error(mel, inverted(mel, 94, SETTINGS), SETTINGS)
    without_phases = error(mel, inverted(mel, 94, SETTINGS, iterations=0), SETTINGS)
    assert made < 1.2 < without_phases / 2


def test_the_waveform_has_the_whole_mel_spectrum_and_not_one_solution_of_least_squares() -> None:
    """Held to the least-squares magnitudes, 128 iterations of fast Griffin-Lim come to 0.51 dB here."""
    mel = SETTINGS.mel(pluck())
    assert error(mel, inverted(mel, 94, SETTINGS), SETTINGS) < 0.4


def test_least_squares_finds_a_spectrum_that_has_the_mel_spectrum() -> None:
    mel = SETTINGS.mel(pluck()).T

    def misfit(iterations: int) -> float:
        found = mel_to_power(mel, SETTINGS, iterations) @ SETTINGS.filters.T
        return float((found - mel).norm() / mel.norm())

    assert misfit(64) < 0.01 < misfit(0)
    assert misfit(NNLS_ITERATIONS) < misfit(0) / 3


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_magnitudes_are_in_the_units_of_the_spectrum(power: float) -> None:
    settings = Spectrogram(n_fft=512, hop_length=128, n_mels=40, power=power)
    mel = settings.mel(pluck()[:48000])
    wave = inverted(mel, 94, settings)
    assert wave.square().mean().sqrt() == pytest.approx(float(pluck()[:48000].square().mean().sqrt()), rel=0.1)


def test_segments_join_without_a_seam() -> None:
    """A step of a hundredth of a tone's height is 30 dB in bands where the tone is not, over the frames around it."""
    t = torch.arange(SETTINGS.hop_length * 4 * SEGMENT_FRAMES) / 48000
    mel = SETTINGS.mel(0.3 * torch.sin(2 * torch.pi * 440 * t) + 0.2 * torch.sin(2 * torch.pi * 1234 * t))
    found = SETTINGS.mel(inverted(mel, 94, SETTINGS))
    of_frame = (10 * ((found + 1e-6) / (mel[:, : found.shape[1]] + 1e-6)).log10().abs()).mean(dim=0)
    near = torch.zeros(len(of_frame), dtype=torch.bool)
    for join in (1, 2, 3):
        near[join * SEGMENT_FRAMES - LOOKAHEAD_FRAMES - 4 : join * SEGMENT_FRAMES + 4] = True
    inside = ~near
    inside[:4] = inside[-4:] = False
    assert of_frame[near].max() < 1.2 * of_frame[inside].max()


def test_the_stream_is_as_near_as_the_whole_at_once() -> None:
    mel = SETTINGS.mel(pluck())
    stream, whole = (inverted(mel, 94, SETTINGS, segment_frames=n) for n in (SEGMENT_FRAMES, 10**6))
    assert error(mel, stream, SETTINGS) < error(mel, whole, SETTINGS) + 0.03


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_samples_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    mel = SETTINGS.mel(pluck()[:100_000])
    alone = inverted(mel, 94, SETTINGS)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(inverted(mel, 94, SETTINGS), alone)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_tone_keeps_its_level_over_a_cross_fade_between_chunks() -> None:
    """The same partials in two chunks do not beat over the seam, as they do where waveforms are faded."""
    t = torch.arange(48000) / 48000
    mel = SETTINGS.mel(0.3 * torch.sin(2 * torch.pi * 440 * t))[:, 4:-4]
    wave = inverted(torch.cat(list(crossfade([mel] * 3, 5)), dim=1), 94, SETTINGS)
    levels = wave[4096:-4096].unfold(0, 2048, 512).square().mean(dim=1).log10() * 10
    assert levels.max() - levels.min() < 1.0


def test_samples_keep_pace_with_frames() -> None:
    inverter = MelInverter(SMALL, stream(1, "phase"))
    given = 0
    for pushed in range(50, 2000, 50):
        given += len(inverter.push(torch.ones(SMALL.n_mels, 50)))
        assert given >= (pushed - SEGMENT_FRAMES - 2 * LOOKAHEAD_FRAMES) * SMALL.hop_length


def test_what_is_held_does_not_grow_with_duration() -> None:
    inverter = MelInverter(SMALL, stream(1, "phase"))

    def bytes_held() -> int:
        return sum(v.untyped_storage().nbytes() for v in vars(inverter).values() if isinstance(v, Tensor))

    sizes = []
    for _ in range(8):
        inverter.push(torch.ones(SMALL.n_mels, 2 * SEGMENT_FRAMES))
        sizes.append(bytes_held())
    assert max(sizes[4:]) <= max(sizes[:4])


def test_negative_values_are_taken_as_zero() -> None:
    mel = SMALL.mel(pluck()[: 128 * 300])
    assert torch.equal(inverted(mel - 0.1, 50, SMALL), inverted((mel - 0.1).clamp(min=0), 50, SMALL))


def test_silence_is_silent() -> None:
    wave = inverted(torch.zeros(SMALL.n_mels, 400), 100, SMALL)
    assert len(wave) == 399 * SMALL.hop_length
    assert not wave.any()


def test_no_frames_make_no_samples() -> None:
    assert len(MelInverter(SMALL, stream(1, "phase")).finish()) == 0
