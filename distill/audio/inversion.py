"""From a mel spectrum back to a waveform, as a stream: memory does not grow with duration.

Two steps. Mel to linear by non-negative least squares, because a magnitude cannot be negative and clamping
a plain least-squares solution smears tones. Then phases by the fast Griffin-Lim algorithm, in segments that
overlap: what was given out is held fixed and the next frames are fitted to it, so segments join without a
seam (after RTISI-LA). Frames near the end of a segment are solved again with the next one, once what follows
them is known.

Sources: Lee and Seung, Algorithms for non-negative matrix factorization, NIPS 2000 (multiplicative updates);
Perraudin, Balazs and Søndergaard, A fast Griffin-Lim algorithm, WASPAA 2013; Zhu, Beauregard and Wyse,
Real-time signal estimation from modified short-time Fourier transform magnitude spectra, IEEE TASLP 15(5), 2007.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.audio.mel import Spectrogram

NNLS_ITERATIONS = 64
GRIFFIN_LIM_ITERATIONS = 32
MOMENTUM = 0.99
SEGMENT_FRAMES = 188
"""How many new frames are fitted at a time. Longer segments follow a steady tone better: for a pair of sines the mean
log-mel error was 2.1 dB at 94 frames, 1.5 dB at 188 and 1.4 dB with all frames at once."""
LOOKAHEAD_FRAMES = 8
"""How many frames at the end of a segment are fitted again with the next one."""


def mel_to_magnitudes(mel: Tensor, spectrogram: Spectrogram, iterations: int = NNLS_ITERATIONS) -> Tensor:
    """Magnitudes `[bins, frames]` whose mel spectrum comes nearest to `mel [n_mels, frames]`, which is not negative."""
    filters = spectrogram.filters.to(mel)
    # A start that is positive wherever the solution may be: each bin the mean of its bands.
    bands = filters.sum(dim=1, keepdim=True).clamp(min=1e-12)
    target = filters.T @ mel
    power = filters.T @ (mel / bands)
    for _ in range(iterations):
        power *= target / (filters.T @ (filters @ power)).clamp(min=1e-20)
    return power.pow(1.0 / spectrogram.power)


def invert(
    blocks: Iterable[Tensor],
    samples: int,
    spectrogram: Spectrogram,
    phases: np.random.Generator,
    device: str = "cpu",
) -> Iterator[NDArray[np.float32]]:
    """A waveform of `samples` from mel `blocks [n_mels, frames]` in order: `float32 [1, samples]` for each block.

    `phases` gives the random phases to start from. The blocks need `spectrogram.frames_for(samples)` frames
    in all; those past that are left out.
    """
    inverter = MelInverter(spectrogram, phases, device)
    frames = spectrogram.frames_for(samples)
    for block in blocks:
        taken = block[:, :frames]
        frames -= taken.shape[1]
        wave = inverter.push(taken)
        if frames == 0:
            wave = torch.cat([wave, inverter.finish()])[:samples]
        samples -= len(wave)
        yield wave[None].cpu().numpy()


class MelInverter:
    """Inverts one mel spectrum, pushed in order in blocks of any size; gives back samples as soon as they are final.

    `phases` gives the random phases to start from. N frames make (N - 1) * hop_length samples, the first of
    them at the centre of the first frame. The samples do not depend on how the frames were cut into blocks.
    """

    def __init__(
        self,
        spectrogram: Spectrogram,
        phases: np.random.Generator,
        device: str = "cpu",
        iterations: int = GRIFFIN_LIM_ITERATIONS,
        segment_frames: int = SEGMENT_FRAMES,
    ) -> None:
        self._spectrogram = spectrogram
        self._phases = phases
        self._device = device
        self._iterations = iterations
        self._window = spectrogram.window.to(device)
        # A frame overlaps this many hops, itself included.
        self._reach = math.ceil(spectrogram.n_fft / spectrogram.hop_length)
        self._lookahead = max(LOOKAHEAD_FRAMES, self._reach)
        self._segment = max(segment_frames, 2 * (self._lookahead + self._reach))
        self._waiting = torch.zeros(spectrogram.n_mels, 0, device=device)
        # The frames being fitted, and the samples already final from the start of the first of them.
        self._magnitudes = torch.zeros(spectrogram.bins, 0, device=device)
        self._spectrum = torch.zeros(spectrogram.bins, 0, device=device, dtype=torch.complex64)
        self._known = torch.zeros(0, device=device)
        self._skip = spectrogram.n_fft // 2  # samples before the centre of the first frame are not given out

    def push(self, mel: Tensor) -> Tensor:
        """Take the frames `mel [n_mels, frames]`, which is not negative; give the samples `[samples]` now final."""
        self._waiting = torch.cat([self._waiting, mel.to(self._waiting)], dim=1)
        final = [self._known[:0]]
        while self._waiting.shape[1] >= self._segment:
            self._take(self._segment)
            final.append(self._settle())
        return torch.cat(final)

    def finish(self) -> Tensor:
        """The samples `[samples]` that were waiting for frames to come."""
        self._take(self._waiting.shape[1])
        frames = self._magnitudes.shape[1]
        if frames == 0:
            return self._known
        end = (frames - 1) * self._spectrogram.hop_length + self._spectrogram.n_fft // 2
        return self._fit()[max(len(self._known), self._skip) : end]

    def _take(self, frames: int) -> None:
        """Move `frames` from those waiting to those being fitted, at random phases."""
        mel, self._waiting = self._waiting[:, :frames], self._waiting[:, frames:]
        magnitudes = mel_to_magnitudes(mel, self._spectrogram)
        angles = self._phases.random((frames, self._spectrogram.bins), dtype=np.float32).T * np.float32(2 * np.pi)
        start = torch.polar(magnitudes, torch.from_numpy(angles).to(self._device))
        self._magnitudes = torch.cat([self._magnitudes, magnitudes], dim=1)
        self._spectrum = torch.cat([self._spectrum, start], dim=1)

    def _settle(self) -> Tensor:
        """Fit the frames held; give the samples that no frame to come can change, and let go of what made them."""
        hop = self._spectrogram.hop_length
        final_frames = self._magnitudes.shape[1] - self._lookahead
        end = final_frames * hop
        samples = self._fit()
        out = samples[max(len(self._known), self._skip) : end]
        passed = final_frames - self._reach + 1
        self._known = samples[passed * hop : end]
        self._skip = 0
        self._magnitudes = self._magnitudes[:, passed:]
        self._spectrum = self._spectrum[:, passed:]
        return out

    def _fit(self) -> Tensor:
        """Samples of all frames held, from the start of the first; those known are kept as they are."""
        envelope = self._overlap_add(self._window.square()[:, None].expand(-1, self._magnitudes.shape[1]))
        envelope = envelope.clamp(min=1e-8)
        previous = torch.zeros_like(self._spectrum)
        for _ in range(self._iterations):
            rebuilt = self._analyse(self._synthesise(envelope))
            direction = rebuilt - (MOMENTUM / (1 + MOMENTUM)) * previous
            self._spectrum = direction * (self._magnitudes / direction.abs().clamp(min=1e-16))
            previous = rebuilt
        return self._synthesise(envelope)

    def _synthesise(self, envelope: Tensor) -> Tensor:
        frames = torch.fft.irfft(self._spectrum, n=self._spectrogram.n_fft, dim=0) * self._window[:, None]
        samples = self._overlap_add(frames) / envelope
        samples[: len(self._known)] = self._known
        return samples

    def _analyse(self, samples: Tensor) -> Tensor:
        frames = samples.unfold(0, self._spectrogram.n_fft, self._spectrogram.hop_length)
        spectrum: Tensor = torch.fft.rfft(frames * self._window, dim=1).T
        return spectrum

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """The sum `[samples]` of `frames [n_fft, frames]`, each a hop after the one before."""
        n_fft, count = frames.shape
        hop = self._spectrogram.hop_length
        padded = torch.nn.functional.pad(frames, (0, 0, 0, self._reach * hop - n_fft))
        pieces = padded.T.reshape(count, self._reach, hop)
        total = frames.new_zeros(count + self._reach - 1, hop)
        for i in range(self._reach):
            total[i : i + count] += pieces[:, i]
        return total.flatten()[: (count - 1) * hop + n_fft]
