from __future__ import annotations

import gzip
import io
import tarfile

import numpy as np
import pytest

from lthsweep.data import archives
from lthsweep.data.cache import decode
from lthsweep.errors import DataError, MissingDataError

ARCHIVES = {
    "cifar10": ("cifar-10-binary.tar.gz", "cifar-10-batches-bin"),
    "cifar100": ("cifar-100-binary.tar.gz", "cifar-100-binary"),
}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("packing", ["archive", "folder", "dotted archive"])
def test_binary_version_is_read_packed_or_not(
    tmp_path, cifar_files, write_tar, write_tree, publish_archive, name, packing
):
    """Planes become pixels, batches keep their order, and CIFAR-100 uses its fine labels."""
    archive, folder = ARCHIVES[name]
    files = cifar_files(name)
    if packing == "folder":
        write_tree(tmp_path / name / folder, files)
    else:
        prefix = "./" if packing == "dotted archive" else ""
        members = {f"{prefix}{folder}/{key}": value for key, value in files.items()}
        publish_archive(name, write_tar(tmp_path / archive, members))

    cifar = decode({"name": name}, tmp_path)

    first = np.frombuffer(next(iter(files.values())), np.uint8)
    label_bytes = 1 if name == "cifar10" else 2
    pixels = first[label_bytes : label_bytes + 3072].reshape(3, 32, 32)
    assert (cifar.train_images[0] == pixels.transpose(1, 2, 0)).all()
    assert cifar.train_labels[:3].tolist() == ([0, 1, 2] if name == "cifar10" else [99, 98, 97])
    assert len(cifar.train_labels) == (50 if name == "cifar10" else 30)
    assert len(cifar.class_names) == (10 if name == "cifar10" else 100)


def test_pickled_version_is_named_but_not_read(tmp_path):
    """A pickle can run code; if there is no other copy, the message explains this."""
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"pickle")

    with pytest.raises(MissingDataError, match="can run code"):
        decode({"name": "cifar10"}, tmp_path)


def test_links_and_unknown_names_in_archives_are_ignored(tmp_path, cifar_files):
    """A member is read only if it is an ordinary file under its exact name; nothing is ever extracted."""
    files = cifar_files("cifar10")
    secret = tmp_path / "secret"
    secret.write_bytes(files["test_batch.bin"])
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            if name == "test_batch.bin":
                info.type, info.linkname = tarfile.SYMTYPE, str(secret)
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo("../../escaped")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"bad"))

    with pytest.raises(DataError, match=r"lacks test_batch\.bin"):
        decode({"name": "cifar10"}, tmp_path)
    assert sorted(child.name for child in tmp_path.iterdir()) == ["cifar-10-binary.tar.gz", "secret"]


@pytest.mark.parametrize("where", ["member", "skipped member", "after the end"])
def test_an_archive_that_expands_too_much_is_refused(tmp_path, write_tar, where):
    """A bomb is stopped at the limit wherever it hides, before its bytes are in memory."""
    bomb = bytes(3 << 20)
    members = {"wanted": bomb} if where == "member" else {"wanted": b"x", "other": bomb}
    path = write_tar(tmp_path / "bomb.tar.gz", members if where != "after the end" else {"wanted": b"x"})
    if where == "after the end":
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bomb))

    with pytest.raises(DataError, match="more than the possible"):
        archives.read_tar_gz(path, {"wanted"}, limit=1 << 20)


def test_a_header_with_a_huge_name_is_refused(tmp_path):
    """tarfile reads long names whole; the size in their header is not to be believed."""
    info = tarfile.TarInfo("././@LongLink")
    info.type = tarfile.GNUTYPE_LONGNAME
    info.size = 1 << 40
    path = tmp_path / "name.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)))

    with pytest.raises(DataError):
        archives.read_tar_gz(path, {"wanted"}, limit=1 << 20)


def test_damage_after_the_last_wanted_member_is_found(tmp_path, write_tar):
    """gzip keeps its CRC at the very end, so the archive is read to there."""
    path = write_tar(tmp_path / "data.tar.gz", {"wanted": b"x" * 1000})
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF  # inside of the CRC
    path.write_bytes(content)

    with pytest.raises(DataError, match="damaged"):
        archives.read_tar_gz(path, {"wanted"}, limit=1 << 20)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("test_batch.bin", bytes(3072), "not a whole number of records"),
        ("test_batch.bin", b"", "not a whole number of records"),
        ("batches.meta.txt", b"cat\ndog\n", "lists 2 classes"),
    ],
)
def test_damaged_members_are_refused(tmp_path, cifar_files, write_tree, file, content, message):
    """Every file is checked for its own structure."""
    write_tree(tmp_path / "cifar-10-batches-bin", cifar_files("cifar10") | {file: content})

    with pytest.raises(DataError, match=message):
        decode({"name": "cifar10"}, tmp_path)
