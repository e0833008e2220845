"""The directory of an archive, read without zipfile, is what zipfile reads."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest
import torch

from distill import archive
from distill.archive import ArchiveError


def same_as_zipfile(path: Path) -> bool:
    """Whether both find the same records at the same places, with the same bytes."""
    with path.open("rb") as file, zipfile.ZipFile(path) as other:
        found = list(archive.records(archive.read_directory(file)))
        assert [one.name.decode() for one in found] == other.namelist()
        for one, info in zip(found, other.infolist(), strict=True):
            assert (one.size, one.offset, one.crc) == (info.file_size, info.header_offset, info.CRC)
            assert one.plain == (info.compress_type == zipfile.ZIP_STORED)
            if one.plain:
                assert archive.read(file, one) == other.read(info)
        return bool(found)


def test_it_reads_what_torch_writes(vqvae_file: Path, vae_file: Path) -> None:
    assert same_as_zipfile(vqvae_file)
    assert same_as_zipfile(vae_file)


def test_it_reads_the_reference_files(reference: Path) -> None:
    assert all(same_as_zipfile(path) for path in reference.glob("*.distill"))


@pytest.mark.parametrize("comment", [b"", b"a comment", bytes(65000)], ids=["none", "short", "long"])
def test_it_reads_what_zipfile_writes(tmp_path: Path, comment: bytes) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.comment = comment
        out.writestr("one", b"1")
        out.writestr("two/data.pkl", b"22" * 500, zipfile.ZIP_DEFLATED)
        with out.open("large", "w", force_zip64=True) as record:
            record.write(b"333")
    assert same_as_zipfile(path)


def test_places_behind_4_gib_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("first", b"1")
    with zipfile.ZipFile(path, "a") as out:  # what follows lies behind a hole
        out.start_dir = 2**32 + 5
        out.writestr("second", b"2")
    assert path.stat().st_size > 2**32
    assert same_as_zipfile(path)


def test_records_are_found_by_their_endings(vqvae_file: Path) -> None:
    with vqvae_file.open("rb") as file:
        [record] = archive.records(archive.read_directory(file), b"/data.pkl")
        assert archive.read(file, record).startswith(b"\x80\x02")


def test_whatever_is_cut_or_changed_is_an_archive_error_or_the_bytes_that_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"weight": torch.arange(20.0)}, path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as other:
        written = {name.encode(): other.read(name) for name in other.namelist()}
    rng = random.Random(1)
    caught = 0
    for _ in range(3000):
        damaged = bytearray(whole)
        if rng.random() < 0.3:
            del damaged[rng.randrange(len(whole)) :]
        for _ in range(rng.randrange(1, 4)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        file = io.BytesIO(bytes(damaged))
        try:
            for record in archive.records(archive.read_directory(file)):
                if record.plain and record.size < 2**20 and record.name in written:
                    assert archive.read(file, record) == written[record.name]
        except ArchiveError:
            caught += 1
    assert caught > 1000


def test_every_record_is_checked(tmp_path: Path, vqvae_file: Path) -> None:
    path = tmp_path / "m.distill"
    whole = bytearray(vqvae_file.read_bytes())
    with vqvae_file.open("rb") as file:
        archive.check(file)
        largest = max(archive.records(archive.read_directory(file)), key=lambda one: one.size)
        whole[archive.start(file, largest) + largest.size // 2] ^= 1
    path.write_bytes(whole)
    with path.open("rb") as file, pytest.raises(ArchiveError, match="another checksum"):
        archive.check(file)


def test_a_directory_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    end = b"PK\x05\x06" + bytes(4) + (1).to_bytes(2, "little") * 2 + (2**31).to_bytes(4, "little") + bytes(6)
    path = tmp_path / "bomb.zip"
    with path.open("wb") as file:
        file.write(archive.SIGNATURE)
        file.truncate(2**31)
        file.seek(2**31)
        file.write(end)
    with path.open("rb") as file, pytest.raises(ArchiveError, match="directory has 2147483648 bytes"):
        archive.read_directory(file)


def test_an_archive_whose_records_are_larger_than_it_is_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "overlap.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("m/0", bytes(100_000))
        out.filelist.extend(out.filelist * 49)  # fifty entries of one record
    with path.open("rb") as file, pytest.raises(ArchiveError, match="its records are larger than it is"):
        archive.check(file)
