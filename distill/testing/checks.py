"""What is promised by any loader plugin, a check a promise. A check raises `ConformanceError` with what it found."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import math
import random
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import Enum
from typing import Any

import click
import numpy as np

from distill import registry
from distill.checkpoint import CheckpointHeader
from distill.cli import build
from distill.cli.generate import own_parameters
from distill.errors import CheckpointError, PluginError, RequestError
from distill.jobs import MAX_SEED
from distill.models import Generation, GenerationRequest
from distill.options import Number
from distill.plugins import Plugins
from distill.testing.subject import ConformanceError, Sound, Subject, joined
from distill.text import clean, describe


def require(holds: bool, otherwise: str) -> None:
    """Raise `ConformanceError` with `otherwise` unless it `holds`."""
    if not holds:
        raise ConformanceError(otherwise)


def check_host_has_no_complaint(subject: Subject) -> None:
    """All hooks are accepted as they are: known, of the right signature, giving what they should, no name in use."""
    plugins = subject.host()
    build(plugins)
    plugins.generation_options(own_parameters())
    for _ in plugins.claims(subject.header):
        pass
    require(not plugins.problems, " ".join(plugins.problems))


def check_claims(subject: Subject) -> None:
    """It claims its checkpoint and what it says it claims, by version and type alone, and nothing else."""
    header, plugins = subject.header, subject.host()
    require(len(list(plugins.claims(header))) == 1, f"it does not claim {header}")
    claimed = {(one.version, one.model_type) for types in plugins.claimed_types().values() for one in types}
    _require_no_problems(plugins)
    require((header.version, header.model_type) in claimed, f"claimed_types does not list {header}")
    for version, model_type in claimed:
        bare = CheckpointHeader(subject.folder / "absent", version, model_type)
        for other in (replace(bare, version=version + 1000), replace(bare, model_type=f"not-{model_type}")):
            require(not list(plugins.claims(other)), f"it claims {other}, which claimed_types does not list")


def check_header_is_pure(subject: Subject) -> None:
    """Describing and claiming leave no trace, give the same again, and leave files of other kinds to others."""
    plugins = subject.host()
    before = hashlib.sha256(subject.path.read_bytes()).digest()
    first, second = (registry.identify(plugins, subject.path) for _ in range(2))
    require(_shown(first) == _shown(second), "the header is another when it is read again")
    for hook, stage in subject.light.stages.items():
        require(not stage.changes, f"{hook} {'; '.join(stage.changes[:1])}")
        opens = hook != "read_header" and stage.reads
        require(not opens, f"{hook} opens the checkpoint; what it says of itself is in the header")
    for content in (b"", b"text\n", b"RIFF\x24\x00\x00\x00WAVEfmt ", bytes(range(256)) * 8):
        foreign = subject.folder / f"foreign{subject.path.suffix}"
        foreign.write_bytes(content)
        require(plugins.read_header(foreign) is None, f"read_header describes a file of {content[:12]!r}")
    _require_no_problems(plugins)
    require(hashlib.sha256(subject.path.read_bytes()).digest() == before, "the checkpoint is not what it was")


def check_imports_are_light(subject: Subject) -> None:
    """Importing it, and all it does before `load`, imports neither torch nor numpy."""
    for hook, stage in subject.light.stages.items():
        heavy = " and ".join(stage.heavy)
        require(not heavy, f"{hook} imports {heavy}; import them where the model is loaded")


def check_sound_is_deterministic(subject: Subject) -> None:
    """The same request gives the same samples: again, from a model loaded anew, whatever global generators hold."""
    request = subject.request()
    sounds = []
    for state, model in enumerate((subject.model, subject.model, subject.load())):
        _disturb_global_generators(state)
        sounds.append(subject.sound(request, model))
    require(np.array_equal(sounds[0], sounds[1]), "the same request gives other samples the second time")
    require(np.array_equal(sounds[0], sounds[2]), "the same request gives other samples from a model loaded anew")


def check_seed_is_honoured(subject: Subject) -> None:
    """Every seed gives a file, and another seed another file."""
    sounds = [subject.sound(subject.request(seed=seed)) for seed in (0, 1, MAX_SEED)]
    for one, other in itertools.combinations(sounds, 2):
        require(not np.array_equal(one, other), "two seeds give the same samples")


def check_chunks_have_their_shape(subject: Subject) -> None:
    """Chunks are finite `float32 [channels, samples]`, at a rate in whole Hz, of one channel or two."""
    rate, channels = subject.model.sample_rate, subject.model.channels
    require(isinstance(rate, int) and rate > 0, f"sample_rate is {rate!r}, not a whole number of Hz")
    require(channels in (1, 2), f"channels is {channels!r}, not 1 or 2")
    for chunk in subject.model.generate(subject.request()):
        require(isinstance(chunk, np.ndarray), f"a chunk is a {type(chunk).__name__}, not an array")
        found = f"{chunk.dtype} {list(chunk.shape)}"
        require(chunk.dtype == np.float32 and chunk.ndim == 2, f"a chunk is {found}, not float32 [channels, samples]")
        require(len(chunk) == channels, f"a chunk is {found} from a model of {channels} channels")
        require(bool(np.isfinite(chunk).all()), "a chunk has samples that are not finite")


def check_durations_are_exact(subject: Subject) -> None:
    """Exactly the samples asked for come, be it one, or an odd number over several chunks."""
    rate = subject.model.sample_rate
    for samples in (1, 2, 997, rate // 3, rate + 1, subject.samples, subject.samples + 1):
        came = subject.sound(subject.request(samples=samples)).shape[-1]
        require(came == samples, f"{came} samples came where {samples} were asked for")


def check_progress_is_counted(subject: Subject) -> None:
    """`count_chunks` says how many chunks `generate` yields."""
    for samples in (1, subject.model.sample_rate, subject.samples):
        request = subject.request(samples=samples)
        told, came = subject.model.count_chunks(request), sum(1 for _ in subject.model.generate(request))
        require(isinstance(told, int), f"count_chunks gives {told!r}, not a whole number")
        require(told == came, f"count_chunks says {told} for {samples} samples; generate yields {came} chunks")


def check_files_do_not_depend_on_their_batch(subject: Subject) -> None:
    """A file is the same whether it is made alone or while the same model makes others, in any order and batch."""
    requests = [subject.request(seed=seed) for seed in (1, 2, 3)]
    alone = [subject.sound(request, subject.load()) for request in requests]
    after = [subject.sound(request) for request in reversed(requests)][::-1]
    beside = _side_by_side([subject.model.generate(request) for request in requests])
    for one, later, mixed in zip(alone, after, beside, strict=True):
        require(np.array_equal(one, later), "a file depends on those made before it")
        require(np.array_equal(one, mixed), "a file depends on those made at the same time")
    for batch_size in (None, 1, 4, 64):
        made = _batch(subject, requests, batch_size)
        require(len(made) == len(alone), f"generate_batch gives {len(made)} files for {len(alone)} requests")
        same = all(np.array_equal(one, other) for one, other in zip(alone, made, strict=True))
        require(same, f"a file depends on the others of its batch, or on the batch size (here {batch_size})")


MOST_DIFFERENT = 2
"""Values of each option that are in a batch together. That all are honoured is another check's."""


def check_requests_of_a_batch_may_differ(subject: Subject) -> None:
    """A file is the same among others of other settings and other lengths."""
    requests = [subject.request(), subject.request(seed=2, samples=subject.samples // 2)]
    alone = [subject.sound(request) for request in requests]
    for option in subject.declared.options:
        for seed, (line, rest) in enumerate(_lines_to_try(option, subject)[:MOST_DIFFERENT], start=3):
            with contextlib.suppress(RequestError):
                request = subject.request(*line, *rest, seed=seed)
                alone.append(subject.sound(request))
                requests.append(request)
    together = list(subject.model.generate_batch(iter(requests)))
    if len(together) != len(requests) or not all(isinstance(made, Generation) for made in together):
        return  # of which another check tells
    for request, made, sound in zip(requests, together, alone, strict=True):
        same = np.array_equal(joined(made.chunks), sound)
        shown = clean(dict(request.options))
        require(same, f"a file depends on the settings of others in its batch (here with {shown})")


def check_files_can_be_made_side_by_side(subject: Subject) -> None:
    """A model that says it is `concurrent` gives the same files to several threads at once."""
    if not subject.model.concurrent:
        return
    requests = [subject.request(seed=seed) for seed in range(1, 5)]
    alone = [subject.sound(request) for request in requests]
    with ThreadPoolExecutor(len(requests)) as pool:
        together = list(pool.map(joined, [made.chunks for made in subject.model.generate_batch(requests)]))
    for one, other in zip(alone, together, strict=True):
        require(np.array_equal(one, other), "it says it is concurrent, but files made in several threads differ")


def check_long_files_come_in_chunks(subject: Subject) -> None:
    """Chunks do not grow with the file: neither does the memory that it takes."""
    samples = max(subject.samples, 10 * subject.model.sample_rate)
    shorter = _longest_chunk(subject, samples)
    for _ in range(2):  # twice, for a model whose one chunk is longer than the first file
        samples *= 2
        longer = _longest_chunk(subject, samples)
        if longer < 1.9 * shorter:
            return
        shorter = longer
    raise ConformanceError(f"a file of {samples} samples has chunks of up to {longer}, twice those of one half as long")


def check_damaged_files_are_refused(subject: Subject) -> None:
    """A file cut short is refused with `CheckpointError`, by the time it is loaded."""
    plugins = subject.host()
    whole = subject.path.read_bytes()
    for share in (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98):
        cut = subject.folder / f"cut{subject.path.suffix}"
        cut.write_bytes(whole[: int(len(whole) * share)])
        where = f"a file cut at {share:.0%}"
        try:
            claim = registry.claim(plugins, registry.identify(plugins, cut))
            claim.loader.check(claim.header, subject.values())
            claim.loader.load(claim.header, "cpu")
        except (CheckpointError, PluginError):  # damaged, or not even claimed
            continue
        except Exception as error:
            raise ConformanceError(f"{where} raises {describe(error)}, not CheckpointError") from error
        raise ConformanceError(f"{where} is loaded as if it were whole")
    _require_no_problems(plugins)


def check_options_are_honoured(subject: Subject) -> None:
    """Every option changes the sound. A value that cannot be is refused with `RequestError`, but not every value."""
    without: dict[str, Sound] = {}
    for option in subject.declared.options:
        tried, refused = _lines_to_try(option, subject), 0
        for line, rest in tried:
            try:
                sound = subject.sound(subject.request(*line, *rest))
            except RequestError:
                refused += 1
                continue
            if str(rest) not in without:
                without[str(rest)] = subject.sound(subject.request(*rest))
            if not np.array_equal(sound, without[str(rest)]):
                break
        else:
            found = "refuses every value tried" if tried and refused == len(tried) else "changes nothing"
            require(not tried, f"{option.opts[0]} {found}: {', '.join(' '.join(line + rest) for line, rest in tried)}")


def check_codes_are_streamed(subject: Subject) -> None:
    """Where its models have codes: however sound and codes are cut up, the same come out, as many samples as wanted."""
    try:
        tokenizer = subject.claim.loader.load_tokenizer(subject.header, "cpu")
    except CheckpointError:
        return
    rate, channels = tokenizer.sample_rate, tokenizer.channels
    require(isinstance(rate, int) and rate > 0, f"the tokenizer's sample_rate is {rate!r}, not a whole number of Hz")
    require(channels in (1, 2), f"the tokenizer's channels is {channels!r}, not 1 or 2")
    samples = rate * 5 // 2 + 1
    sound = np.random.default_rng(0).standard_normal((channels, samples)).astype(np.float32) * np.float32(0.1)
    codes, again = (np.concatenate(list(tokenizer.encode(_cut(sound, size)))) for size in (samples, samples // 7))
    require(np.issubdtype(codes.dtype, np.integer), f"codes are {codes.dtype}, not whole numbers")
    require(np.array_equal(codes, again), "codes depend on how the sound is cut into blocks")
    whole, fewer = (joined(tokenizer.decode(iter([codes]), wanted)) for wanted in (samples, samples - rate // 3))
    for one, wanted in ((whole, [channels, samples]), (fewer, [channels, samples - rate // 3])):
        require(one.dtype == np.float32 and bool(np.isfinite(one).all()), "what is decoded is no finite float32")
        require(list(one.shape) == wanted, f"what is decoded is {list(one.shape)} where {wanted} were wanted")
    pieces = joined(tokenizer.decode(iter(np.array_split(codes, 3)), samples))
    require(np.array_equal(whole, pieces), "what is decoded depends on how the codes are cut up")
    try:
        joined(tokenizer.decode(iter([codes]), 100 * samples))
    except RequestError:
        return
    require(False, "codes that are too few for the samples wanted are decoded as if they were enough")


def _cut(sound: Sound, size: int) -> Iterator[Sound]:
    return (sound[:, start : start + size] for start in range(0, sound.shape[1], size))


def check_nothing_is_printed(subject: Subject) -> None:
    """stdout is for results: the plugin writes nothing to it."""
    printed_early = subject.light.printed
    require(not printed_early, f"before a model is loaded it prints {clean(printed_early)!r}")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        subject.sound(subject.request(), subject.load())
    require(not printed.getvalue(), f"it prints {clean(printed.getvalue())!r}")


CHECKS: list[Callable[[Subject], None]] = [
    check_host_has_no_complaint,
    check_claims,
    check_header_is_pure,
    check_imports_are_light,
    check_sound_is_deterministic,
    check_seed_is_honoured,
    check_chunks_have_their_shape,
    check_durations_are_exact,
    check_progress_is_counted,
    check_files_do_not_depend_on_their_batch,
    check_requests_of_a_batch_may_differ,
    check_files_can_be_made_side_by_side,
    check_long_files_come_in_chunks,
    check_damaged_files_are_refused,
    check_options_are_honoured,
    check_codes_are_streamed,
    check_nothing_is_printed,
]
"""Every check, the most basic first."""


def _require_no_problems(plugins: Plugins) -> None:
    problems = plugins.new_problems()
    require(not problems, " ".join(problems))


def _disturb_global_generators(state: int) -> None:
    random.seed(state)
    np.random.seed(state)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(state)


def _side_by_side(files: list[Iterator[Sound]]) -> list[Sound]:
    """The sounds of several generators that are asked for a chunk each in turn."""
    chunks: list[list[Sound]] = [[] for _ in files]
    for turn in itertools.zip_longest(*files):
        for file, chunk in zip(chunks, turn, strict=True):
            file += [] if chunk is None else [chunk]
    return [joined(iter(file)) for file in chunks]


def _batch(subject: Subject, requests: list[GenerationRequest], batch_size: int | None) -> list[Sound]:
    """The sounds of `requests`, as `generate_batch` gives them."""
    made = list(subject.model.generate_batch(iter(requests), batch_size))
    for one in made:
        require(isinstance(one, Generation), f"generate_batch gives a {type(one).__name__}, not a Generation")
    return [joined(one.chunks) for one in made]


def _shown(header: CheckpointHeader) -> str:
    """All that `header` holds, without the addresses of objects."""
    return re.sub(r" at 0x[0-9a-f]+", "", f"{header!r} {dict(header.fields)!r}")


def _longest_chunk(subject: Subject, samples: int) -> int:
    return max(int(chunk.shape[-1]) for chunk in subject.model.generate(subject.request(samples=samples)))


Line = tuple[list[str], list[str]]
"""Words that set an option, and others to stand beside them."""


def _lines_to_try(option: click.Option, subject: Subject) -> list[Line]:
    """Command lines that set `option` to something else than its default. Empty where `examples` says so."""
    flag, name = max(option.opts, key=len), str(option.name)
    if name in subject.examples:
        examples = [shlex.split(str(example)) for example in subject.examples[name]]
        takes = 0 if option.is_flag or option.count else option.nargs
        return [([flag, *words[:takes]], words[takes:]) for words in examples]
    if option.is_flag or option.count:
        return [([flag], []), *(([word], []) for word in option.secondary_opts)]
    plain = subject.values()
    values = _values(option.type, plain[name])
    lines = [[flag, *[_spelled(value)] * option.nargs] for value in values]
    changing = [line for line in lines if _sets_another(subject, line, name, plain[name])]
    require(
        bool(changing),
        f"what {flag} takes cannot be guessed: give values to try, examples={{{name!r}: [...]}}",
    )
    return [(line, []) for line in changing]


def _sets_another(subject: Subject, line: list[str], name: str, plain: object) -> bool:
    """Whether `line` is accepted and gives the option `name` another value than `plain`."""
    try:
        return bool(subject.values(*line)[name] != plain)
    except click.UsageError:
        return False


def _spelled(value: object) -> str:
    return value.name if isinstance(value, Enum) else str(value)


def _values(kind: click.ParamType[Any], default: object) -> Iterable[object]:
    """Values of `kind` that should make a difference: the ends of a range and some between; every choice."""
    if isinstance(kind, click.Choice):
        return kind.choices
    if isinstance(kind, Number):
        low, high, whole = kind.low, kind.high, kind.integer
    elif isinstance(kind, click.IntRange | click.FloatRange):
        low = -math.inf if kind.min is None else kind.min
        high = math.inf if kind.max is None else kind.max
        whole = isinstance(kind, click.IntRange)
    elif kind in (click.INT, click.FLOAT):
        low, high, whole = -math.inf, math.inf, kind is click.INT
    else:
        return []
    usual = default if isinstance(default, int | float) else 0
    start = low if math.isfinite(low) else usual
    end = high if math.isfinite(high) else start + 100
    spread = [low, high, *(start + (end - start) * share for share in (0.5, 0.25, 0.75, 0.01, 0.02, 0.1))]
    return [round(v) if whole else v for v in spread if math.isfinite(v)]
