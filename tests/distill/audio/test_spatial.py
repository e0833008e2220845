"""What is put into a space sums to mono as it was, stays level on both sides, and comes from where it should."""

from __future__ import annotations

import dataclasses
import sys
import tracemalloc
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import make_kemar
import netCDF4
import numpy as np
import pytest
from numpy.typing import NDArray

from distill.audio import hrtf
from distill.audio.decorrelation import decorrelator
from distill.audio.spatial import MODES, Space, spatialise
from distill.errors import DistillError

RATES = (22050, 44100, 48000, 88200, 96000)
WIDTHS = (0.0, 0.5, 1.0, 1.5)
DEPTHS = (0.0, 0.5, 1.0)
OCTAVES = 31.5 * 2.0 ** np.arange(10)
KEMAR = make_kemar.SOURCE
needs_kemar = pytest.mark.skipif(not KEMAR.exists(), reason=f"no SOFA file at {KEMAR} (Debian: libmysofa1)")

Sound = NDArray[np.float32]


def in_space(sound: Sound, space: Space, sample_rate: int = 48000, cuts: list[int] | None = None) -> Sound:
    """`sound [channels, samples]` in `space`, as one block or cut before the samples `cuts`."""
    blocks = np.split(sound, cuts or [], axis=1)
    return np.concatenate(list(spatialise(blocks, sample_rate, space)), axis=1)


def pink(sample_rate: int = 48000, seconds: float = 6.0, channels: int = 1) -> Sound:
    """Noise with as much power in every octave, to the last bit of it, and a second of silence after it."""
    size = int(seconds * sample_rate)
    phases = np.random.default_rng(5).uniform(0, 2 * np.pi, (channels, size // 2 + 1))
    spectrum = np.exp(1j * phases) / np.sqrt(np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 10.0))
    noise = np.fft.irfft(spectrum, size)
    return np.pad(0.2 * noise / noise.std(), ((0, 0), (0, sample_rate))).astype(np.float32)


def clicks() -> Sound:
    sound = np.zeros((1, 48000 * 3), np.float32)
    sound[0, 1000 : 48000 * 2 : 7919] = 0.9
    return sound


def sweep() -> Sound:
    """A sine from 20 Hz to 20 kHz, ten seconds long, faded at both ends so that it has no other frequency."""
    seconds, rate = 10.0, np.log(1000.0)
    t = np.arange(int(seconds * 48000)) / 48000
    wave = 0.5 * np.sin(2 * np.pi * 20 * seconds / rate * (np.exp(t / seconds * rate) - 1))
    wave *= np.sin(np.pi * np.minimum(0.5, np.minimum(t, seconds - t) / 0.2)) ** 2
    return np.pad(wave, (0, 48000))[None].astype(np.float32)


SOUNDS = {"pink noise": pink, "clicks": clicks, "sweep": sweep}


def octave_powers(sound: NDArray[Any], sample_rate: int = 48000) -> NDArray[np.float64]:
    """The power of each channel `[channels, octaves]` in the octaves from 31.5 Hz that lie below half the rate."""
    power = np.abs(np.fft.rfft(sound.astype(np.float64))) ** 2
    bins = np.fft.rfftfreq(sound.shape[1], 1 / sample_rate)
    centres = OCTAVES[OCTAVES * np.sqrt(2) < sample_rate / 2]
    return np.stack([power[:, (bins >= c / np.sqrt(2)) & (bins < c * np.sqrt(2))].sum(axis=1) for c in centres], axis=1)


def decibels(ratio: NDArray[Any] | float) -> Any:
    return 10 * np.log10(ratio)


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_mean_of_both_channels_is_the_sound_itself(sample_rate: int, depth: float) -> None:
    sound = pink(sample_rate, 1.0)
    for width in WIDTHS:
        left, right = in_space(sound, Space("stereo", width, depth), sample_rate).astype(np.float64)
        rounding = 2.0**-24 * np.maximum(np.abs(left), np.abs(right))
        assert (np.abs((left + right) / 2 - sound[0]) <= rounding).all()


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_octave_loses_more_than_one_decibel_in_mono(name: str, width: float, depth: float) -> None:
    sound = SOUNDS[name]()
    stereo = in_space(sound, Space("stereo", width, depth))
    mono = octave_powers(in_space(stereo, Space("mono")))[0]
    assert np.abs(decibels(mono / octave_powers(sound)[0])).max() < 1e-4
    assert decibels(octave_powers(stereo).mean(axis=0) / mono).max() <= 1.0


@pytest.mark.parametrize("sample_rate", RATES)
def test_no_frequency_has_more_in_the_sides_than_the_decorrelator_was_given(sample_rate: int) -> None:
    for depth in np.linspace(0, 1, 6):
        taps = decorrelator(sample_rate, depth)
        assert np.abs(np.fft.rfft(taps, 2**19)).max() < 1.0001


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("sample_rate", RATES)
def test_left_and_right_are_equally_loud_in_every_octave(sample_rate: int, depth: float) -> None:
    sound = pink(sample_rate)
    for width in WIDTHS:
        left, right = octave_powers(in_space(sound, Space("stereo", width, depth), sample_rate), sample_rate)
        assert np.abs(decibels(left / right)).max() < 0.5


def test_left_and_right_are_equally_loud_at_the_depths_between() -> None:
    sound = pink(seconds=3.0)
    for depth in np.linspace(0, 1, 21):
        left, right = octave_powers(in_space(sound, Space("stereo", 1.5, float(depth))))
        assert np.abs(decibels(left / right)).max() < 0.5


@pytest.mark.parametrize("depth", DEPTHS)
def test_width_makes_the_channels_less_alike(depth: float) -> None:
    sound = pink()
    bands = np.fft.rfftfreq(sound.shape[1], 1 / 48000)
    for low, high in ((250, 1000), (1000, 4000), (4000, 16000)):
        for width, expected in zip(WIDTHS, (1.0, 0.946, 0.8, 0.6), strict=True):
            spectra = np.fft.rfft(in_space(sound, Space("stereo", width, depth)).astype(np.float64))
            spectra = spectra[:, (bands >= low) & (bands < high)]
            product = (spectra[0] * spectra[1].conj()).real.sum()
            alike = product / np.sqrt((np.abs(spectra) ** 2).sum(axis=1).prod())
            assert alike == pytest.approx(expected, abs=0.01)


def test_without_width_both_channels_are_the_sound_itself() -> None:
    sound = pink(seconds=1.0)
    for channel in in_space(sound, Space("stereo", 0.0)):
        np.testing.assert_array_equal(channel, sound[0])


def test_depth_makes_the_sides_ring_longer() -> None:
    """The time by which all but a thousandth of a click's side has passed, above 500 Hz."""
    passed = []
    for depth in np.linspace(0, 1, 5):
        taps = decorrelator(48000, float(depth))
        spectrum = np.fft.rfft(taps, 2**16)
        spectrum[np.fft.rfftfreq(2**16, 1 / 48000) < 500] = 0.0
        energy = np.cumsum(np.fft.irfft(spectrum)[:40000] ** 2)
        passed.append(np.searchsorted(energy, 0.999 * energy[-1]) / 48000)
    assert 0.01 < passed[0] < 0.03
    assert passed == sorted(passed)
    assert 0.1 < passed[-1] < 0.2


@pytest.mark.parametrize("mode", ["stereo", "binaural"])
def test_nothing_sounds_before_a_click_and_the_bass_stays_in_the_middle(mode: str) -> None:
    click = np.zeros((1, 48000), np.float32)
    click[0, 20000] = 1.0
    made = in_space(click, Space(mode, 1.5, 1.0))
    assert np.abs(made[:, :20000]).max() < 1e-6
    assert np.abs(made[:, 20000:20020]).max() > 0.1  # and no later
    if mode == "stereo":
        side, whole = octave_powers(made[:1] - made[1:]), octave_powers(made[:1] + made[1:])
        assert decibels(side / whole)[0, 0] < -25


def test_two_channels_keep_their_middle_and_width_scales_their_difference() -> None:
    sound = pink(channels=2, seconds=1.0)
    np.testing.assert_array_equal(in_space(sound, Space("stereo", 1.0, 1.0)), sound)
    for width in WIDTHS:
        left, right = in_space(sound, Space("stereo", width, 0.3))
        np.testing.assert_allclose(left + right, sound[0] + sound[1], atol=1e-6)
        np.testing.assert_allclose(left - right, width * (sound[0] - sound[1]), atol=1e-6)


def test_mono_of_one_channel_is_that_channel_and_of_two_their_mean() -> None:
    sound = pink(channels=2, seconds=1.0)
    np.testing.assert_array_equal(in_space(sound[:1], Space("mono")), sound[:1])
    np.testing.assert_array_equal(in_space(sound, Space("mono"))[0], (sound[0] + sound[1]) / 2)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sample_rate", RATES)
def test_no_bit_depends_on_how_the_sound_was_cut(sample_rate: int, mode: str, channels: int) -> None:
    sound = pink(sample_rate, 2.0, channels)
    space = Space(mode, 1.2, 0.8)
    whole = in_space(sound, space, sample_rate)
    assert (whole.shape, whole.dtype) == ((space.channels, sound.shape[1]), np.float32)
    draw = np.random.default_rng(9)
    for count in (1, 10, 300):
        cuts = sorted(int(cut) for cut in draw.integers(0, sound.shape[1] + 1, count))
        np.testing.assert_array_equal(in_space(sound, space, sample_rate, cuts), whole)
    np.testing.assert_array_equal(in_space(sound, space, sample_rate, [1, 2, 2, 3, 8192, 8193]), whole)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("samples", [0, 1, 2, 100, 8191, 8192, 8193, 20000])
def test_as_many_samples_come_out_as_went_in(mode: str, samples: int) -> None:
    for channels in (1, 2):
        blocks = list(spatialise([np.ones((channels, samples), np.float32)], 48000, Space(mode)))
        assert sum(block.shape[1] for block in blocks) == samples
    assert list(spatialise([], 48000, Space(mode))) == []


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_memory_does_not_grow_with_duration(mode: str, channels: int) -> None:
    """Ten minutes, a second at a time, against six seconds."""
    block = pink(seconds=1.0, channels=channels)[:, :48000]

    def peak(seconds: int) -> int:
        tracemalloc.start()
        taken = sum(made.shape[1] for made in spatialise((block for _ in range(seconds)), 48000, Space(mode)))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken == seconds * 48000
        return most

    peak(6)
    assert peak(600) < 1.05 * peak(6) + 10_000


def response(width: float, depth: float = 0.0, sample_rate: int = 48000, file: Path | None = None) -> Sound:
    """What both ears hear of a click from the left loudspeaker: `[2, samples]`."""
    click = np.zeros((2, sample_rate // 5), np.float32)
    click[0, 0] = 1.0
    return in_space(click, Space("binaural", width, depth, file), sample_rate)


def ear_differences(heard: Sound, sample_rate: int) -> tuple[float, float]:
    """How much later, in µs below 1.5 kHz, and how much quieter, in dB, the right ear hears it than the left."""
    size = 2**18
    spectra = np.fft.rfft(heard.astype(np.float64), size)
    spectra[:, np.fft.rfftfreq(size, 1 / sample_rate) > 1500] = 0
    lag = int(np.fft.irfft(spectra[0].conj() * spectra[1]).argmax())
    lag = lag - size if lag > size // 2 else lag
    power = (heard.astype(np.float64) ** 2).sum(axis=1)
    return lag / sample_rate * 1e6, float(decibels(power[0] / power[1]))


@pytest.mark.parametrize("sample_rate", RATES)
def test_the_left_loudspeaker_is_on_the_left_and_further_out_with_more_width(sample_rate: int) -> None:
    """A head of 17.5 cm has some 260 µs at 30° and 660 µs at 90° (Woodworth); at 90° waves meet behind it."""
    later, quieter = zip(*(ear_differences(response(w, 0, sample_rate), sample_rate) for w in WIDTHS), strict=True)
    assert later[0] == 0
    assert quieter[0] == pytest.approx(0, abs=0.1)
    assert list(later) == sorted(set(later))
    assert list(quieter[:3]) == sorted(set(quieter[:3]))
    assert 200 < later[1] < 350
    assert 600 < later[3] < 800
    assert min(quieter[1:]) > 5


def test_the_right_loudspeaker_is_the_lefts_mirror_image() -> None:
    sound = pink(channels=2, seconds=0.5)
    heard, mirrored = (in_space(s, Space("binaural", 1.0, 0.0)) for s in (sound, sound[::-1]))
    np.testing.assert_allclose(heard, mirrored[::-1], atol=1e-5)


def test_without_depth_there_is_no_reflection_and_with_more_they_are_louder() -> None:
    late = [float((response(1.0, depth)[:, 350:] ** 2).sum()) for depth in (0.0, 0.25, 0.5, 1.0)]
    assert late[0] < 1e-10
    assert np.sqrt(np.array(late[1:]) / late[3]) == pytest.approx([0.25, 0.5, 1.0], rel=1e-3)
    heard = response(1.0, 1.0)
    assert (heard[:, :350] ** 2).sum() > late[3]  # the loudspeaker itself stays louder
    assert np.abs(heard[:, 2100:]).max() < 1e-5  # and 44 ms after it, all is over


def test_what_comes_from_everywhere_has_no_colour_but_the_heads() -> None:
    """The mean over the horizontal plane, to which the set is not equalised but near: the sphere is."""
    head = hrtf.load(None)
    padded = np.pad(head.responses.reshape(-1, head.responses.shape[2]), ((0, 0), (0, 16000)))
    flat = np.zeros((1, padded.shape[1]))
    flat[0, 0] = 1.0
    colour = octave_powers(padded, head.sample_rate).mean(axis=0) / octave_powers(flat, head.sample_rate)[0]
    assert np.abs(decibels(colour)).max() < 2.0


@needs_kemar
def test_the_set_that_comes_along_is_made_from_the_sofa_file() -> None:
    shipped = np.load(make_kemar.TARGET, allow_pickle=False)
    made = make_kemar.arrays()
    assert sorted(shipped) == sorted(made)
    for name, array in made.items():
        assert shipped[name].dtype == array.dtype
        np.testing.assert_allclose(shipped[name], array, atol=1e-6)


@needs_kemar
def test_the_sofa_file_sounds_as_the_set_that_comes_along(capfd: pytest.CaptureFixture[str]) -> None:
    sound = pink(seconds=0.5)
    made = in_space(sound, Space("binaural", hrtf=KEMAR))
    np.testing.assert_allclose(made, in_space(sound, Space("binaural")), atol=1e-6)
    assert capfd.readouterr().out == ""


def test_the_set_that_comes_along_says_where_it_is_from() -> None:
    folder = files("distill.audio") / "data"
    said = " ".join((folder / "KEMAR.md").read_text().replace(">", "").split())
    assert "W. G. Gardner and K. D. Martin" in said
    assert "free with no restrictions on use, provided the authors are cited" in said
    assert len((folder / "kemar.npz").read_bytes()) < 300_000


@dataclasses.dataclass
class Head:
    """A SOFA file of a head with no ears: a click for each direction, every 15 degrees around."""

    azimuths: Any = dataclasses.field(default_factory=lambda: np.arange(0.0, 360.0, 15.0))
    elevation: float = 0.0
    receivers: int = 2
    taps: int = 64
    sample_rate: Any = 44100.0
    ears_left: tuple[float, ...] = (0.09, -0.09)
    delays: Any = None
    value: float = 1.0
    cartesian: bool = False
    without: str = ""

    def write(self, path: Path) -> Path:
        """The first receiver hears it at sample 20, the second at 30 and half as loud."""
        count = len(self.azimuths)
        responses = np.zeros((count, self.receivers, self.taps))
        for receiver in range(self.receivers):
            responses[:, receiver, 20 + 10 * receiver] = self.value / (1 + receiver)
        positions = np.stack([self.azimuths, np.full(count, self.elevation), np.ones(count)], axis=1)
        if self.cartesian:
            angle = np.radians(self.azimuths)
            positions = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
        ears = np.zeros((self.receivers, 3, 1))
        ears[: len(self.ears_left), 1, 0] = self.ears_left[: self.receivers]
        with netCDF4.Dataset(path, "w") as file:
            file.Conventions, file.SOFAConventions, file.DataType = "SOFA", "SimpleFreeFieldHRIR", "FIR"
            sizes = {"M": count, "R": self.receivers, "N": self.taps, "C": 3, "I": 1}
            for name, size in sizes.items():
                file.createDimension(name, size)
            contents = {
                "Data.IR": (("M", "R", "N"), responses, None),
                "Data.SamplingRate": (("I",), np.array([self.sample_rate]), None),
                "Data.Delay": (("I", "R"), np.zeros((1, self.receivers)) if self.delays is None else self.delays, None),
                "SourcePosition": (("M", "C"), positions, "cartesian" if self.cartesian else "spherical"),
                "ListenerView": (("I", "C"), np.array([[1.0, 0.0, 0.0]]), "cartesian"),
                "ReceiverPosition": (("R", "C", "I"), ears, "cartesian"),
            }
            for name, (dimensions, values, kind) in contents.items():
                if name != self.without:
                    variable = file.createVariable(name, "f8", dimensions)
                    variable[:] = values
                    if kind:
                        variable.Type = kind
        return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "head.sofa"


@pytest.mark.parametrize("cartesian", [False, True])
def test_ears_and_angles_are_read_as_the_file_gives_them(path: Path, cartesian: bool) -> None:
    for ears in ((0.09, -0.09), (-0.09, 0.09)):
        head = hrtf.load(Head(cartesian=cartesian, ears_left=ears).write(path))
        assert list(head.azimuths) == pytest.approx(list(np.arange(-165.0, 181.0, 15.0)))
        first, second = np.abs(head.responses[0]).argmax(axis=1)
        assert (second - first) * ears[0] > 0
        path.unlink()


def test_delays_beside_the_responses_count(path: Path) -> None:
    """Ten samples more for the first ear: both hear it at once."""
    head = hrtf.load(Head(delays=np.array([[10.0, 0.0]])).write(path))
    first, second = np.abs(head.responses[0]).argmax(axis=1)
    assert first == second


def test_a_file_that_has_changed_is_read_anew(path: Path) -> None:
    first = hrtf.load(Head().write(path))
    assert hrtf.load(path) is first
    Head(sample_rate=48000.0).write(path)
    assert hrtf.load(path).sample_rate == 48000


BAD = {
    "has no direction on the horizontal plane.": Head(elevation=45.0),
    "has no direction on the horizontal plane within 10° of azimuth 60°, which is needed.": Head(
        azimuths=np.arange(-40.0, 41.0, 5.0)
    ),
    "cannot be used: it has 1 receivers, not two ears.": Head(receivers=1),
    "cannot be used: it has 4 receivers, not two ears.": Head(receivers=4),
    "cannot be used: it has 24 measurements of 100000 samples, too few or too many.": Head(taps=100000),
    "cannot be used: Data.IR has values that are no numbers.": Head(value=np.nan),
    "cannot be used: a response in it is silent.": Head(value=0.0),
    "cannot be used: it holds no impulse responses (Data.IR).": Head(without="Data.IR"),
    "cannot be used: it has no SourcePosition.": Head(without="SourcePosition"),
    "cannot be used: its sampling rate is [1.0], not a whole number of Hz from 8000 to 384000.": Head(sample_rate=1.0),
    "cannot be used: its delays go from -1 to 0 samples.": Head(delays=np.array([[-1.0, 0.0]])),
}


def never() -> Iterator[Sound]:
    raise AssertionError("a block was asked for")
    yield


@pytest.mark.parametrize("message", BAD)
def test_a_file_that_cannot_be_used_is_one_line_before_any_sound(
    message: str, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    BAD[message].write(path)
    with pytest.raises(DistillError) as caught:
        spatialise(never(), 48000, Space("binaural", hrtf=path))
    assert str(caught.value) == f"--hrtf: head.sofa {message} Give another SOFA file."
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("contents", [b"", b"not SOFA at all", b"\x89HDF\r\n\x1a\n" + bytes(200)], ids=len)
def test_a_file_that_is_no_sofa_file_is_named(path: Path, contents: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(contents)
    with pytest.raises(
        DistillError, match=r"^--hrtf: head\.sofa cannot be read as a SOFA file \(.*\)\. Give another\.$"
    ) as caught:
        hrtf.load(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(DistillError, match=r"--hrtf: there is no file .*head\.sofa\."):
        hrtf.load(path)


def test_without_sofar_it_is_said_how_to_install_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Head().write(path)
    monkeypatch.setitem(sys.modules, "sofar", None)
    with pytest.raises(DistillError, match=r"^--hrtf needs sofar\. Install it: pip install 'distill\[binaural\]'\.$"):
        hrtf.load(path)
