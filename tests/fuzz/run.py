"""Fuzz one of the readers, guided by coverage: `python tests/fuzz/run.py header --seconds 600`.

Needs `pip install atheris` (libFuzzer for Python). An input that a reader chokes on is kept as `crash-*` in the folder
that it is started in; `--input FILE` runs it alone.
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "fixtures")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--input", type=Path)
    asked = parser.parse_args()
    import atheris

    with atheris.instrument_imports(include=["distill", "distill_vae", "json", "csv", "tomllib", "mutagen"]):
        from seeds import WORDS, seeds
        from targets import run

    if asked.input is not None:
        print(run(asked.target, asked.input.read_bytes()))  # noqa: T201
        return
    resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
    with TemporaryDirectory() as folder:
        for number, data in enumerate(seeds()[asked.target]):
            (Path(folder) / str(number)).write_bytes(data)
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS[asked.target]))
        options = [
            f"-max_total_time={asked.seconds}",
            "-timeout=5",
            "-max_len=20000",
            "-print_final_stats=1",
            "-rss_limit_mb=0",
        ]
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for seed in Path(folder).glob("[0-9]*"):
            seed.rename(corpus / seed.name)
        atheris.Setup([sys.argv[0], str(corpus), f"-dict={words}", *options], lambda data: run(asked.target, data))
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    """A word as a dictionary of libFuzzer has it."""
    return "".join(rf"\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
