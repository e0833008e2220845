"""What fuzzing begins with: files in order, of each kind, and the words that they are made of."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from checkpoints import codec_prior_contents, save, vae_contents, vqvae_contents
from targets import BODY

from distill.cli import run
from distill.plugins import discover


def seeds() -> dict[str, list[bytes]]:
    """Inputs in order for each target."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        made = {make.__name__: save(make(), folder / f"{make.__name__}.distill") for make in
                (codec_prior_contents, vqvae_contents, vae_contents)}  # fmt: skip
        vae = str(made["vae_contents"])
        files = []
        for form in ("wav", "flac", "ogg", "mp3", "opus"):
            asked = ["generate", vae, "-d", "0.05", "-s", "1", "-o", name, "-f", form, "--name", form, "--quiet"]
            assert run(discover, asked) == 0
            files.append(folder / f"{form}.{form}")
        whole = [path.read_bytes() for path in made.values()]
        headers = [_header(data) for data in whole]
        plain = {
            "format": "distill_model",
            "version": 2,
            "model_type": "vqvae",
            "metadata": {"name": "rain", "tags": ["a"]},
        }
        return {
            "header": [_small(data) for data in headers],
            "archive": [whole[2][whole[2].index(b"PK\x01\x02") :], _directory()],
            "pickle": [*headers, pickle.dumps(plain, 2)],
            "sidecar": [path.with_suffix(".json").read_bytes() for path in files],
            "tags": [path.read_bytes() for path in files],
            "presets": [json.dumps(one).encode() for one in _PRESETS],
            "manifest": [bytes([kind]) + text.encode() for kind in range(9) for text in _MANIFESTS],
            "config": [text.encode() for text in _CONFIGURATIONS],
        }


def _header(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        return archive.read(name)


def _small(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("m/data.pkl", data)
    return made.getvalue()


def _directory() -> bytes:
    data = _small(BODY)
    return data[data.index(b"PK\x01\x02") :]


_PRESETS: list[object] = [
    {"version": 1, "presets": []},
    {"version": 1, "presets": [{"preset_id": "p1", "name": "calm", "folder": "soft", "slider_positions": [0, 1, -2],
                                "n_components": 3, "seed": 7, "description": "wind", "created": "2026-01-01"}]},
    {"p2": {"preset_id": "p2", "name": "loud", "slider_positions": {"0": 3, "2": -1}}},
    [{"name": "one", "slider_positions": [1]}],
]  # fmt: skip
_MANIFESTS = [
    "model,seed,count,temperature,name\nrain,1,3,0.8,{model}-{seed}\nfog,2,,1.2,\n",
    'model;seed;tag\n"a ""b""\nc";1;mood=calm\n',
    '{"model": "rain", "seed": 7, "tag": ["a=b"], "top_k": 50}\n{"model": "fog"}\n',
    "0-99,5,10-19", "temperature=0.6:1.2:0.2", "top_k=0,20,50",
]  # fmt: skip
_CONFIGURATIONS = [
    '[library]\npaths = ["~/models"]\n[generate]\ntemperature = 0.8\nformat = "flac"\ntag = ["a=b"]\nstats = true\n',
    "[batch]\nworkers = 2\n[models.list]\nsort = 'size'\n[train]\nminutes = 1.5\n", "a = 1979-05-27T07:32:00Z\n",
]  # fmt: skip
WORDS: Mapping[str, list[bytes]] = {
    "pickle": [
        b"ccollections\nOrderedDict\n", b"cos\nsystem\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"}(", b"u.",
        b"tR", b"\x8a\n", b"r\xff\xff\xff\xff", b"ctorch\nFloatStorage\n", b"X\x04\x00\x00\x00name",
        b"metadata", b"tQ", b"\x8b\xff\xff\xff\x7f", b"))\x85\x86", b"}b", b")\x81",
    ],
    "archive": [
        b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"\xff\xff\xff\xff", b"m/data.pkl",
    ],
    "header": [
        b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"/data.pkl", b"distill_model",
    ],
    "sidecar": [
        b'"schema": 1', b"null", b"1e999", b"-1", b"NaN", b'"\\u202e"', b"[[[[", b'{"model": {"path": "~"}}',
        b"\\ud800",
    ],
    "tags": [
        b"LIST", b"INFO", b"id3 ", b"ID3\x04", b"TXXX", b"DISTILL", b"OggS", b"fLaC", b"data",
        b"\xff\xff\xff\xff",
    ],
    "presets": [
        b'"slider_positions"', b'"name"', b"null", b"1e999", b'"seed": -1', b"[[[[", b'{"presets": 1}',
        b"\\u0000",
    ],
    "manifest": [
        b"model", b"seed", b"\t", b";", b'"', b"\r\n", b"{", b"[", b"temperature", b"\xef\xbb\xbf", b"\xff",
        b"1e999",
    ],
    "config": [
        b"[generate]", b"[[", b"]]", b"'''", b'"""', b"= 1e999", b"inf", b"[library]\npaths = ",
        b"temperature", b"\\u202e",
    ],
}  # fmt: skip
"""What mutations put in."""
