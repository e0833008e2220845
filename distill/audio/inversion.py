"""From a mel spectrum back to a waveform, as a stream: memory does not grow with duration.

Magnitudes by non-negative least squares, because a magnitude cannot be negative and clamping a plain least-squares
solution smears tones. They are where the search starts, not what it is held to: many spectra have one mel spectrum, so
each iteration makes the spectrum that of a signal, as Griffin and Lim do, and then scales it until it has the mel
spectrum that was asked for. Held to one solution's magnitudes, three times the iterations come less near
(docs/decisions/inversion.md).

Phases start as those of tones: in each bin they advance at the frequency of the nearest peak, from a random angle.
Noise starts random all the same, for there the peaks move.

Segments overlap: what was given out is held fixed and the next frames are fitted to it, so segments join without a
seam. Frames near the end of a segment are fitted again with the next one, once what follows them is known.

Sources: Lee and Seung, Algorithms for non-negative matrix factorization, NIPS 2000 (multiplicative updates);
Perraudin, Balazs and Søndergaard, A fast Griffin-Lim algorithm, WASPAA 2013 (momentum); Masuyama, Ueno and Ono, Signal
reconstruction from mel-spectrogram based on bi-level consistency of full-band magnitude and phase, WASPAA 2023 (the
mel spectrum as the constraint); Beauregard, Harish and Wyse, Single pass spectrogram inversion, DSP 2015 (phases that
advance with their peak, found here as a centroid); Zhu, Beauregard and Wyse, Real-time signal estimation from modified
short-time Fourier transform magnitude spectra, IEEE TASLP 15(5), 2007 (RTISI-LA, segments).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from distill.audio.mel import Spectrogram
from distill.devices import single_threaded

NNLS_ITERATIONS = 4
PHASE_ITERATIONS = 9
MOMENTUM = 0.9, 0.5
"""How far an iteration goes on in the direction of the last: at the first and at the last of them, evenly between.
0.99 throughout, usual where magnitudes are held, overshoots here."""
RELAXATION = 1.2
"""The power of the factors that would give each frame its mel spectrum: a little more, for they overlap. With falling
momentum, nine iterations so are worth ten."""
SEGMENT_FRAMES = 188
"""How many new frames are fitted at a time: two seconds at 48 kHz and a hop of 512, few enough to stay in the cache."""
LOOKAHEAD_FRAMES = 4
"""How many frames at the end of a segment are fitted again with the next one."""
TINY = 1e-10
"""Mel power under which nothing is divided: far under the rounding noise of any signal that can be heard."""


def mel_to_power(mel: Tensor, spectrogram: Spectrogram, iterations: int = NNLS_ITERATIONS) -> Tensor:
    """A spectrum `[frames, bins]` in the mel spectrum's own `power` that has nearly `mel [frames, n_mels]`.

    None of it is negative, nor may `mel` be. By multiplicative updates from a flat start: each bin is scaled by how far
    its bands fall short. (Lee and Seung's update for the divergence: the filters of a bin sum to one, so it needs no
    other denominator, and the fit is that of their update for squares at half the cost.)
    """
    bank = spectrogram.bank(mel.device)
    power = bank.spread(mel / bank.widths)
    for _ in range(iterations):
        power *= bank.spread(mel / bank.mel(power).clamp_(min=TINY))
    return power


def invert(
    blocks: Iterable[Tensor],
    samples: int,
    spectrogram: Spectrogram,
    phases: np.random.Generator,
    device: str = "cpu",
) -> Iterator[NDArray[np.float32]]:
    """A waveform of `samples` from mel `blocks [n_mels, frames]` in order: `float32 [1, samples]` for each block.

    `phases` gives the random angles to start from. The blocks need `spectrogram.frames_for(samples)` frames
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


def _turns_each_hop(power: Tensor, spectrogram: Spectrogram) -> Tensor:
    """How far a tone turns in one hop, `[frames, bins]` in turns, if each bin of `power [frames, bins]` has one.

    Its frequency is the centroid of the five bins around it: beside a peak, that of the peak.
    """
    padded = F.pad(power, (2, 2))
    far_below, below, above, far_above = (padded[:, i : i + spectrogram.bins] for i in (0, 1, 3, 4))
    offset = far_above.sub(far_below).mul_(2).add_(above).sub_(below)
    offset /= power.add(far_below).add_(below).add_(above).add_(far_above).clamp_(min=TINY)
    whole = torch.arange(spectrogram.bins, device=power.device) * spectrogram.hop_length % spectrogram.n_fft
    return offset.mul_(spectrogram.hop_length).add_(whole).div_(spectrogram.n_fft)


class MelInverter:
    """Inverts one mel spectrum, pushed in order in blocks of any size; gives back samples as soon as they are final.

    `phases` gives the random angles to start from. N frames make (N - 1) * hop_length samples, the first of
    them at the centre of the first frame. The samples do not depend on how the frames were cut into blocks, nor on
    the number of threads: each inversion is computed by one.
    """

    def __init__(
        self,
        spectrogram: Spectrogram,
        phases: np.random.Generator,
        device: str = "cpu",
        iterations: int = PHASE_ITERATIONS,
        segment_frames: int = SEGMENT_FRAMES,
    ) -> None:
        self._spectrogram = spectrogram
        self._device = device
        self._iterations = iterations
        self._bank = spectrogram.bank(device)
        self._window = spectrogram.window.to(device)
        # A frame overlaps this many hops, itself included.
        self._reach = math.ceil(spectrogram.n_fft / spectrogram.hop_length)
        self._lookahead = max(LOOKAHEAD_FRAMES, self._reach)
        self._segment = max(segment_frames, 2 * (self._lookahead + self._reach))
        self._waiting = torch.zeros(spectrogram.n_mels, 0, device=device)
        # The frames being fitted.
        self._mel = torch.zeros(0, spectrogram.n_mels, device=device)
        self._spectrum = torch.zeros(0, spectrogram.bins, device=device, dtype=torch.complex64)
        # Where each bin's phase stands, in turns, when the next frames begin.
        self._turns = torch.from_numpy(phases.random((1, spectrogram.bins), dtype=np.float32)).to(device)
        # What the frames before them add where these begin: their sum under the window, and that of its squares.
        self._tail = torch.zeros(2, spectrogram.n_fft - spectrogram.hop_length, device=device)
        self._skip = spectrogram.n_fft // 2  # samples before the centre of the first frame are not given out

    def push(self, mel: Tensor) -> Tensor:
        """Take the frames `mel [n_mels, frames]`, negative values as zero; give the samples `[samples]` now final."""
        self._waiting = torch.cat([self._waiting, mel.to(self._waiting).clamp(min=0.0)], dim=1)
        final = [self._waiting.new_zeros(0)]
        while self._waiting.shape[1] >= self._segment:
            self._take(self._segment)
            final.append(self._settle(len(self._mel) - self._lookahead))
        return torch.cat(final)

    def finish(self) -> Tensor:
        """The samples `[samples]` that were waiting for frames to come."""
        self._take(self._waiting.shape[1])
        return self._settle(len(self._mel)) if len(self._mel) else self._waiting.new_zeros(0)

    @single_threaded()
    def _take(self, frames: int) -> None:
        """Move `frames` from those waiting to those being fitted, at the phases that the search starts from."""
        mel, self._waiting = self._waiting[:, :frames].T.contiguous(), self._waiting[:, frames:]
        power = mel_to_power(mel, self._spectrogram)
        turns = self._turns + _turns_each_hop(power, self._spectrogram).cumsum_(dim=0)
        self._turns = turns[-1:].frac() if frames else self._turns
        magnitude, angle = power.pow_(1.0 / self._spectrogram.power), turns.mul_(2 * math.pi)
        start = torch.complex(angle.cos().mul_(magnitude), angle.sin_().mul_(magnitude))
        self._mel = torch.cat([self._mel, mel])
        self._spectrum = torch.cat([self._spectrum, start])

    @single_threaded()
    def _settle(self, frames: int) -> Tensor:
        """Fit the frames held and give the samples that are final; let go of the first `frames`: of all, at the end.

        What comes after the centre of the last frame is not given out.
        """
        at_end = frames == len(self._mel)
        samples = self._fit(at_end)
        end = len(samples) - self._spectrogram.n_fft // 2 if at_end else frames * self._spectrogram.hop_length
        final = samples[self._skip : end]
        self._skip = 0
        last = slice(max(0, frames - self._reach + 1), frames)
        under_window = torch.fft.irfft(self._spectrum[last], n=self._spectrogram.n_fft)
        ones = self._window.expand_as(under_window)
        length = self._tail.shape[1]
        self._tail = torch.stack([self._overlap_add(under_window)[-length:], self._overlap_add(ones)[-length:]])
        self._mel = self._mel[frames:].clone()
        self._spectrum = self._spectrum[frames:].clone()
        return final

    def _fit(self, at_end: bool) -> Tensor:
        """Samples `[samples]` from the start of the first frame held: those of all frames, fitted to each other."""
        scale = self._with_tail(self._overlap_add(self._window.expand(len(self._mel), -1)), 1)
        scale.clamp_(min=1e-8).reciprocal_()
        frames = scale.new_empty(len(self._mel), self._spectrogram.n_fft)
        squares = scale.new_empty(len(self._mel), 2 * self._spectrogram.bins)
        previous = samples = self._synthesise(scale, at_end)
        for momentum in np.linspace(*MOMENTUM, self._iterations).tolist():
            self._analyse(torch.add(samples, samples - previous, alpha=momentum), frames)
            self._scale_to_mel(squares)
            previous, samples = samples, self._synthesise(scale, at_end)
        return samples

    def _analyse(self, samples: Tensor, frames: Tensor) -> None:
        """Let the spectrum held be that of `samples`; `frames [frames, n_fft]` is room to work in."""
        overlapping = samples.unfold(0, self._spectrogram.n_fft, self._spectrogram.hop_length)
        torch.mul(overlapping, self._window, out=frames)
        self._spectrum = torch.fft.rfft(frames)

    def _scale_to_mel(self, squares: Tensor) -> None:
        """Scale the spectrum held, smoothly over frequency, so that it has the mel.

        `squares [frames, 2 * bins]` is room to work in.
        """
        parts = torch.view_as_real(self._spectrum).flatten(1)
        torch.mul(parts, parts, out=squares)
        power = squares[:, 0::2] + squares[:, 1::2]
        if self._spectrogram.power != 2.0:
            power.pow_(self._spectrogram.power / 2.0)
        gains = (self._mel / self._bank.mel(power).clamp_(min=TINY)).pow_(RELAXATION / self._spectrogram.power)
        self._spectrum.mul_(self._bank.spread(gains, out=power))

    def _synthesise(self, scale: Tensor, at_end: bool) -> Tensor:
        """The signal of the spectrum held, `[samples]`; at the ends of the whole it is reflected, as in analysis."""
        frames = torch.fft.irfft(self._spectrum, n=self._spectrogram.n_fft)
        samples = self._with_tail(self._overlap_add(frames), 0).mul_(scale)
        half = self._spectrogram.n_fft // 2
        if len(frames) > 1:  # one frame alone has nothing to reflect
            if self._skip:
                samples[:half] = samples[half + 1 : 2 * half + 1].flip(0)
            if at_end:
                samples[1 - half :] = samples[-2 * half + 1 : -half].flip(0)
        return samples

    def _with_tail(self, samples: Tensor, row: int) -> Tensor:
        samples[: self._tail.shape[1]] += self._tail[row]
        return samples

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """The sum `[samples]` of `frames [frames, n_fft]` under the window, each a hop after the one before."""
        count, n_fft = frames.shape
        hop = self._spectrogram.hop_length
        total = frames.new_zeros(count + self._reach - 1, hop)
        for i in range(self._reach):
            piece = slice(i * hop, min((i + 1) * hop, n_fft))
            total[i : i + count, : piece.stop - piece.start].addcmul_(frames[:, piece], self._window[piece])
        return total.flatten()[: (count - 1) * hop + n_fft]
