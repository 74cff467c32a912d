from __future__ import annotations

import gzip

import pytest

from lthsweep.data.availability import list_datasets, verify_dataset
from lthsweep.data.cache import prepare
from lthsweep.data.datasets import DATASETS
from lthsweep.errors import DataError, MissingDataError


def states(root, cache):
    return {row.name: row.state for row in list_datasets(root, cache)}


def test_list_shows_available_data_and_the_command(tmp_path, write_mnist, write_tar):
    """Missing, found, packed: each with the command that comes next."""
    root, cache = tmp_path / "root", tmp_path / "cache"
    expected = {
        name: "embedded" if entry.embedded else "by path" if entry.own_files else "missing"
        for name, entry in DATASETS.items()
    }
    assert states(root, cache) == expected

    write_mnist(root / "mnist")
    write_tar(root / "cifar-10-binary.tar.gz", {})
    assert states(root, cache)["mnist"] == states(root, cache)["cifar10"] == "found"

    prepare({"name": "mnist"}, root=root, cache=cache)
    rows = {row.name: row for row in list_datasets(root, cache)}
    assert rows["mnist"].state == "packed"
    assert (rows["mnist"].shape, rows["mnist"].n_train, rows["mnist"].n_test) == ((1, 6, 5), 40, 20)
    assert rows["mnist"].command == ""
    assert rows["cifar100"].command == "lthsweep data prepare cifar100"
    assert rows["cifar100"].classes == 100


def test_every_image_folder_pack_has_its_row(tmp_path, write_tree, make_picture):
    """In addition to the row for any folder."""
    path = write_tree(tmp_path / "pets", {f"{c}/{n}.png": make_picture(n) for c in "ab" for n in range(5)})
    for size in (8, 16):
        prepare(
            {"name": "image_folder", "path": str(path), "size": size}, root=tmp_path, cache=tmp_path / "c"
        )

    rows = [row for row in list_datasets(tmp_path, tmp_path / "c") if row.name == "image_folder"]

    assert sorted((row.state, row.shape and row.shape[1]) for row in rows[:2]) == [
        ("packed", 8),
        ("packed", 16),
    ]
    assert rows[2].state == "by path"


def test_damaged_pack_is_listed_as_damaged(tmp_path, write_mnist):
    """A list must not end at the first bad folder."""
    write_mnist(tmp_path / "mnist")
    packed = prepare({"name": "mnist"}, root=tmp_path, cache=tmp_path / "cache")
    (packed.folder / "meta.json").write_text("{")

    assert states(tmp_path, tmp_path / "cache")["mnist"] == "damaged"


def test_verify_compares_files_and_pack(tmp_path, write_mnist):
    """As published, published but recompressed, unpacked, another file: each has a different state."""
    arrays = write_mnist(tmp_path / "mnist")
    names = [source.file for source in DATASETS["mnist"].files]
    paths = [tmp_path / "mnist" / name for name in names]
    prepare({"name": "mnist"}, root=tmp_path, cache=tmp_path / "cache")
    paths[1].write_bytes(gzip.compress(gzip.decompress(paths[1].read_bytes()), 1, mtime=5))
    (tmp_path / "mnist" / names[2].removesuffix(".gz")).write_bytes(gzip.decompress(paths[2].read_bytes()))
    paths[2].unlink()
    paths[3].write_bytes(gzip.compress(b"something else"))

    checks = verify_dataset({"name": "mnist"}, tmp_path, tmp_path / "cache")

    assert [check.verdict for check in checks] == ["good", "good", "good", "different", "good"]
    assert [check.ok for check in checks] == [True, True, True, False, True]
    assert len(arrays) == 4


def test_verify_finds_unpacked_files_without_checksum(tmp_path, write_mnist):
    """The host publishes checksums of the packed files only; a pack can be made from the unpacked ones."""
    write_mnist(tmp_path / "fashion_mnist", zipped=False, name="fashion_mnist")

    before = verify_dataset({"name": "fashion_mnist"}, tmp_path, tmp_path / "cache")
    prepare({"name": "fashion_mnist"}, root=tmp_path, cache=tmp_path / "cache")
    after = verify_dataset({"name": "fashion_mnist"}, tmp_path, tmp_path / "cache")

    assert [check.verdict for check in before] == ["unchecked"] * 4 + ["absent"]
    assert [check.verdict for check in after] == ["unchecked"] * 4 + ["good"]
    assert after[0].where == str(tmp_path / "fashion_mnist/train-images-idx3-ubyte")
    assert "train-images-idx3-ubyte.gz has a published checksum" in after[0].detail


def test_verify_finds_cut_files_and_damaged_packs(tmp_path, write_mnist):
    """Both are reported, neither ends the checking."""
    write_mnist(tmp_path / "mnist")
    packed = prepare({"name": "mnist"}, root=tmp_path, cache=tmp_path / "cache")
    (packed.folder / "test_labels.npy").unlink()
    path = tmp_path / "mnist/train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])

    checks = verify_dataset({"name": "mnist"}, tmp_path, tmp_path / "cache")

    assert checks[0].verdict == checks[-1].verdict == "damaged"


def test_verify_of_nothing_is_missing_data(tmp_path):
    """There is nothing to be sound."""
    with pytest.raises(MissingDataError, match="lthsweep data prepare cifar10"):
        verify_dataset({"name": "cifar10"}, tmp_path, tmp_path / "cache")


def test_verify_names_missing_path_and_options(tmp_path, write_tree):
    """No download is to blame, and no pack is damaged: the options name the pack."""
    path = write_tree(tmp_path / "my texts", {"train.csv": b"label,text\n" + b"a,one two\nb,three\n" * 9})
    cache = tmp_path / "cache"
    asked = {"name": "text_csv", "path": str(path)}

    with pytest.raises(
        DataError,
        match=r"files of yours: add their path, .* `lthsweep data verify text_csv --path FOLDER`",
    ):
        verify_dataset({"name": "text_csv"}, tmp_path, cache)
    with pytest.raises(
        MissingDataError, match="not packed with these options; run `lthsweep data prepare text_csv"
    ):
        verify_dataset(asked, tmp_path, cache)
    prepare(asked | {"length": 8}, root=tmp_path, cache=cache)
    with pytest.raises(MissingDataError) as caught:
        verify_dataset(asked, tmp_path, cache)
    checks = verify_dataset(asked | {"length": 8}, tmp_path, cache)

    command = f"lthsweep data verify text_csv --path '{path}' --set data.length=8"
    assert str(caught.value) == f"{path} is packed, but with other options; check it with `{command}`"
    assert [check.verdict for check in checks] == ["good", "good"]


def test_verify_of_the_embedded_set_needs_no_pack(tmp_path):
    """It comes with an installed package."""
    assert all(check.ok for check in verify_dataset({"name": "digits"}, tmp_path, tmp_path / "cache"))


@pytest.mark.realdata
def test_real_mnist_is_as_published(real_root, tmp_path):
    """For any compression of its files."""
    checks = verify_dataset({"name": "mnist"}, real_root, tmp_path)

    assert [check.verdict for check in checks] == ["good"] * 4 + ["absent"]
