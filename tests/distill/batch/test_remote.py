"""A batch into a URL: a bucket of an S3-compatible server on this machine, and a folder as if it were elsewhere."""

from __future__ import annotations

import logging
import posixpath
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forking import Done
from processes import JOURNAL, Quick, batch, check_done, check_whole, files_in, kill, started, wait_for

from distill.batch.remote import Remote
from distill.errors import DistillError, DistillWarning

for package in ("boto3", "moto", "s3fs"):
    pytest.importorskip(package, reason=f"{package} is not installed")

ASKED = "--seeds", "1-16", "-d", "0.5"
FILES = [f"pebbles-{seed}.wav" for seed in range(1, 17)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3-compatible server."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


def credentials(server: str) -> dict[str, str]:
    """The environment of those who may use it."""
    return {
        "AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip


@dataclass
class Bucket:
    """A bucket, and batches into the folder `out` in it."""

    client: Any
    name: str
    environment: dict[str, str]
    model: Path
    quick: Quick

    @property
    def url(self) -> str:
        return f"s3://{self.name}/out"

    def run(self, *arguments: object) -> Done:
        return self.quick(self.model, *ASKED, "-o", self.url, *arguments, **self.environment)

    def objects(self) -> dict[str, tuple[str, Any]]:
        """What tells the versions of each object apart, by name in the folder."""
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return {posixpath.relpath(one["Key"], "out"): (one["ETag"], one["LastModified"]) for one in found}

    def sounds(self) -> dict[str, tuple[str, Any]]:
        """The audio files of `objects`."""
        return {name: one for name, one in self.objects().items() if name.endswith(".wav")}

    def finished(self) -> dict[str, tuple[str, Any]]:
        """Those of `sounds` that have their sidecar."""
        found = self.objects()
        return {name: one for name, one in self.sounds().items() if name.replace(".wav", ".json") in found}

    def fetch(self, folder: Path) -> Path:
        """All that is in the folder, copied into a local one."""
        folder.mkdir()
        for name in self.objects():
            self.client.download_file(self.name, f"out/{name}", str(folder / name))
        return folder

    def put(self, name: str, contents: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"out/{name}", Body=contents)

    def get(self, name: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.name, Key=f"out/{name}")["Body"].read())

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=f"out/{name}")


@pytest.fixture
def bucket(server: str, model: Path, quick: Quick) -> Bucket:
    import boto3

    name = f"takes-{secrets.token_hex(8)}"
    client = boto3.client(
        "s3", endpoint_url=server, aws_access_key_id="mine", aws_secret_access_key="secret", region_name="us-east-1"
    )
    client.create_bucket(Bucket=name)
    return Bucket(client, name, credentials(server), model, quick)


@pytest.fixture
def done(bucket: Bucket, alone: Path) -> Bucket:
    """A bucket with all files in it."""
    for path in alone.iterdir():
        bucket.put(path.name, path.read_bytes())
    return bucket


def test_a_bucket_holds_what_a_folder_would(bucket: Bucket, alone: Path, tmp_path: Path) -> None:
    made = batch(bucket.model, *ASKED, "-o", bucket.url, "--workers", 2, **bucket.environment)
    assert made.returncode == 0, made.stderr
    assert sorted(made.stdout.splitlines()) == sorted(f"{bucket.url}/{name}" for name in FILES)
    check_done(bucket.fetch(tmp_path / "out"), alone)


def test_a_second_run_writes_nothing(done: Bucket) -> None:
    before = done.objects()
    again = done.run("--verify")
    assert (again.code, again.out) == (0, "")
    assert done.objects() == before


@pytest.mark.parametrize(
    ("name", "damage", "arguments"),
    [
        pytest.param("pebbles-3.wav", lambda sound: None, [], id="deleted"),
        pytest.param("pebbles-3.json", lambda sound: None, [], id="without its sidecar"),
        pytest.param("pebbles-3.wav", lambda sound: sound[:1000], [], id="cut short"),
        pytest.param("pebbles-3.wav", lambda sound: sound[:-1] + b"?", ["--verify"], id="of the same size"),
    ],
)
def test_an_object_that_is_not_as_it_was_is_made_anew_and_no_other(
    done: Bucket, alone: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes | None], arguments: list[str]
) -> None:
    before = done.objects()
    damaged = damage(done.get(name))
    done.delete(name)
    if damaged is not None:
        done.put(name, damaged)
    again = done.run(*arguments)
    assert (again.code, again.out) == (0, f"{done.url}/pebbles-3.wav\n"), again.err
    after = done.objects()
    assert after.keys() == before.keys()
    others = before.keys() - {"pebbles-3.wav", "pebbles-3.json", JOURNAL}
    assert {name: after[name] for name in others} == {name: before[name] for name in others}
    assert {path.name: path.read_bytes() for path in done.fetch(tmp_path / "out").glob("*.wav")} == {
        path.name: path.read_bytes() for path in alone.glob("*.wav")
    }


def test_a_lost_journal_is_written_again_from_the_sidecars_and_nothing_is_made(
    done: Bucket, alone: Path, tmp_path: Path
) -> None:
    before = done.objects()
    done.delete(JOURNAL)
    assert " 0 made, " in done.run().err
    assert {name: one for name, one in done.objects().items() if name != JOURNAL} == {
        name: one for name, one in before.items() if name != JOURNAL
    }
    check_done(done.fetch(tmp_path / "out"), alone)


def test_killed_it_leaves_whole_objects_and_is_taken_up_again(bucket: Bucket, alone: Path, tmp_path: Path) -> None:
    for files in (1, 7):
        with started(bucket.model, *ASKED, "-o", bucket.url, "--workers", 2, **bucket.environment) as process:
            wait_for(lambda: len(bucket.sounds()) >= files or process.poll() is not None, f"{files} files", pause=0.02)  # noqa: B023
            kill(process)
        check_whole(bucket.fetch(tmp_path / str(files)), alone)
        before = bucket.finished()
    assert bucket.run().code == 0
    check_done(bucket.fetch(tmp_path / "out"), alone)
    assert before.items() <= bucket.objects().items()


@pytest.mark.parametrize(
    ("where", "environment", "said"),
    [
        pytest.param("s3://nobody-has-this/out", {}, "The specified bucket does not exist", id="no such bucket"),
        pytest.param("s3://takes/out", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "connect", id="no server"),
        pytest.param(
            "s3://takes/out", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials", id="no credentials"
        ),
        pytest.param("s4://takes/out", {}, "s4", id="no such kind of URL"),
    ],
)
def test_a_place_that_cannot_hold_files_is_one_line(
    server: str, model: Path, quick: Quick, where: str, environment: dict[str, str], said: str
) -> None:
    once = {"AWS_MAX_ATTEMPTS": "1"}
    refused = quick(model, *ASKED, "-o", where, **credentials(server) | once | environment)
    assert refused.code == 1
    [line] = refused.err.splitlines()
    assert line.startswith("Error: ")
    assert where in line
    assert said in line


def test_a_folder_given_as_a_url_holds_what_a_folder_does(
    model: Path, alone: Path, quick: Quick, tmp_path: Path
) -> None:
    url = (tmp_path / "out").as_uri()
    with started(model, *ASKED, "-o", url, "--workers", 2) as process:
        wait_for(lambda: files_in(tmp_path / "out") or process.poll() is not None, "the first file")
        kill(process)
    check_whole(tmp_path / "out", alone)
    assert quick(model, *ASKED, "-o", url).code == 0
    check_done(tmp_path / "out", alone)


def test_a_journal_whose_upload_failed_is_uploaded_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Remote("memory://takes")
    adding = store.journal()
    monkeypatch.setattr(adding, "_wait_until", 0.0)
    with monkeypatch.context() as broken:
        broken.setattr(Remote, "put", fail)
        with pytest.warns(DistillWarning, match="could not be uploaded"):
            adding.append(b"line\n")
    adding.close()
    assert store.read(JOURNAL) == b"line\n"


def fail(*_: object, **__: object) -> bool:
    raise DistillError("503 SlowDown.")
