"""The loss wants sounds that are near and not all alike; noise is drawn once for each frame of codes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from checkpoints import SMALL_CODEC, codec
from recordings import sound
from torch import Tensor

from distill_codec.distance import distance
from distill_codec.losses import energy_distance
from distill_codec.networks import phase_noise
from distill_codec.shape import Shape


def noise(seed: int) -> Tensor:
    return torch.randn(4, 24000, generator=torch.Generator().manual_seed(seed)) * 0.1


def buzz() -> Tensor:
    """Pulses, as loud as the noise in every band, and always the same."""
    pulses = torch.zeros(4, 24000)
    pulses[:, ::512] = 0.1 * 512**0.5
    return pulses


def test_other_noise_is_a_better_answer_to_noise_than_a_steady_buzz() -> None:
    there = noise(0)
    as_noise, _ = energy_distance(there, noise(1), noise(2))
    as_buzz, _ = energy_distance(there, buzz(), buzz())
    assert float(as_noise) < float(as_buzz)


def test_one_noise_twice_is_worse_than_two() -> None:
    twice, _ = energy_distance(noise(0), noise(1), noise(1))
    two, _ = energy_distance(noise(0), noise(1), noise(2))
    assert float(two) < float(twice)


def test_a_tone_is_answered_best_by_itself() -> None:
    tone = torch.from_numpy(sound(0.5))
    itself, none = energy_distance(tone, tone, tone)
    assert float(itself) == pytest.approx(0.0, abs=1e-6)
    assert float(none) == 0.0
    for other in (1.1 * tone, tone + 0.01 * noise(1)[:1]):
        assert float(energy_distance(tone, other, tone)[0]) > 1e-4


def test_the_distance_beside_the_loss_is_the_mean_of_both() -> None:
    there, one, other = noise(0), noise(1), 2 * noise(2)
    _, far = energy_distance(there, one, other)
    assert float(far) == pytest.approx(float((distance(one, there) + distance(other, there)) / 2), rel=1e-5)


@pytest.mark.parametrize("shape", [SMALL_CODEC, replace(SMALL_CODEC, channels=2, stride=4)])
@pytest.mark.parametrize(("first", "frames"), [(0, 1), (5, 60), (63, 2), (64, 64), (100, 200)])
def test_a_frame_has_its_noise_wherever_a_stream_is_cut(shape: Shape, first: int, frames: int) -> None:
    whole = phase_noise(shape, 0, 300)
    stride = shape.stride
    part = phase_noise(shape, first, frames)
    assert torch.equal(part, whole[first * stride : (first + frames) * stride])
    assert float(whole.min()) >= -1
    assert float(whole.max()) <= 1
    assert abs(float(whole.mean())) < 0.01
    assert float(whole.std()) == pytest.approx(3**-0.5, rel=0.02)


def test_noise_turns_phases_as_far_as_the_decoder_says() -> None:
    network = codec()
    latents = torch.randn(1, 40, SMALL_CODEC.latent_dim)
    with torch.inference_mode():
        spectra = network.decoder(latents)
        still = network.decoder.sound(spectra, torch.zeros_like(spectra.phase))
        without = spectra._replace(noisiness=torch.zeros_like(spectra.phase))
        shaken = network.decoder.sound(without, torch.ones_like(spectra.phase))
        moved = network.decoder.sound(spectra, torch.ones_like(spectra.phase))
    torch.testing.assert_close(shaken, still)
    assert float((moved - still).abs().max()) > 0.01 * float(still.abs().max())
