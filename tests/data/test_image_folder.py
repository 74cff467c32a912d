from __future__ import annotations

import zipfile

import numpy as np
import pytest

from lthsweep.data import file_tree
from lthsweep.data.cache import decode, prepare
from lthsweep.errors import DataError, MissingDataError


def open_fully(path):
    with file_tree.open_tree(path) as tree:
        return tree


@pytest.fixture
def members(make_picture):
    """Two classes, three training images and one test image each; an image's value identifies it."""
    files = {f"train/cat/{n}.png": make_picture(10 + n) for n in range(3)}
    files |= {f"train/dog/{n}.png": make_picture(20 + n) for n in range(3)}
    return files | {"test/cat/9.png": make_picture(30), "test/dog/9.png": make_picture(40)}


@pytest.mark.parametrize("target", ["pets", "pets.zip"])
@pytest.mark.parametrize("wrapper", ["", "pets-v1/", "a/b/"])
@pytest.mark.parametrize("test", ["test", "val", "valid"])
def test_split_folders_are_understood(tmp_path, members, write_tree, target, wrapper, test):
    """A folder or a zip, with or without folders around it, with any name of the held-out part."""
    files = {wrapper + name.replace("test/", f"{test}/"): content for name, content in members.items()}
    path = write_tree(tmp_path / target, files | {wrapper + "README.md": b"not an image"})

    pets = decode({"name": "image_folder", "path": str(path), "size": 12}, tmp_path)

    assert pets.class_names == ("cat", "dog")
    assert pets.train_images[:, 0, 0, 0].tolist() == [10, 11, 12, 20, 21, 22]
    assert pets.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert pets.test_images[:, 0, 0, 0].tolist() == [30, 40]
    assert pets.test_labels.tolist() == [0, 1]


def test_test_is_preferred_to_val(tmp_path, members, write_tree, make_picture):
    """Validation images come from the training images by our own rule; the files' val is not needed."""
    path = write_tree(tmp_path / "pets", members | {"val/cat/1.png": make_picture(99)})

    assert decode({"name": "image_folder", "path": str(path)}, tmp_path).test_images[:, 0, 0, 0].tolist() == [
        30,
        40,
    ]


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_unsplit_images_give_one_in_five_as_test(tmp_path, write_tree, make_picture, prefix):
    """The same images each time, the classes in proportion."""
    files = {f"{prefix}{label}/{n:02}.png": make_picture(n) for label in ("a", "b") for n in range(20)}
    path = write_tree(tmp_path / "plain", files)

    first, again = (
        decode({"name": "image_folder", "path": str(path), "size": 8}, tmp_path) for _ in range(2)
    )

    assert np.bincount(first.test_labels).tolist() == [4, 4]
    assert np.bincount(first.train_labels).tolist() == [16, 16]
    assert (first.test_images == again.test_images).all()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme.txt": b""}, "holds no images"),
        ({"cat/1.png": None, "2.png": None}, "no class folder"),
        ({"train/cat/1.png": None, "test/dog/1.png": None}, "'dog' has test images but no training"),
        ({"test/cat/1.png": None, "val/cat/1.png": None}, "no train folder"),
        (
            {
                "train/cat/1.png": None,
                "train/dog/1.png": b"no image",
                "test/cat/1.png": None,
                "test/dog/1.png": None,
            },
            "not a readable image",
        ),
    ],
)
def test_what_is_not_understood_is_named(tmp_path, write_tree, make_picture, files, message):
    """Classes are never guessed silently."""
    path = write_tree(tmp_path / "odd", {name: content or make_picture(1) for name, content in files.items()})

    with pytest.raises(DataError, match=message):
        decode({"name": "image_folder", "path": str(path), "size": 8}, tmp_path)


def test_single_class_is_refused(tmp_path, write_tree, make_picture):
    """There is nothing to learn; most likely the path is one level too deep."""
    path = write_tree(tmp_path / "one", {f"cat/{n}.png": make_picture(n) for n in range(5)})

    with pytest.raises(DataError, match="only one class"):
        prepare({"name": "image_folder", "path": str(path), "size": 8}, root=tmp_path, cache=tmp_path / "c")


def test_absent_path_is_missing_data(tmp_path):
    """With both places in which a relative path was looked for."""
    with pytest.raises(MissingDataError, match="nowhere"):
        decode({"name": "image_folder", "path": "nowhere"}, tmp_path)


def test_relative_paths_are_also_tried_below_the_root(tmp_path, members, write_tree, monkeypatch):
    """One file then serves a laptop and a cluster that keep their data elsewhere."""
    write_tree(tmp_path / "data/pets.zip", members)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    assert len(decode({"name": "image_folder", "path": "pets.zip"}, tmp_path / "data").train_images) == 6


@pytest.mark.parametrize("name", ["../up.png", "/root.png", "..\\up.png", "C:\\up.png"])
def test_zip_members_that_point_outside_are_refused(tmp_path, name):
    """Nothing is extracted, but such an archive is malicious."""
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, b"1")

    with pytest.raises(DataError, match="outside"):
        open_fully(path)


def test_zip_member_that_expands_too_much_is_refused(tmp_path, monkeypatch):
    """A declared size is refused at once; an undeclared one when the bytes come."""
    monkeypatch.setattr(file_tree, "FILE_LIMIT", 1000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.png", bytes(2000))

    with pytest.raises(DataError, match="2,000 bytes"):
        open_fully(path)


def test_files_other_than_zip_are_refused(tmp_path):
    """Say which two are possible."""
    (tmp_path / "data.rar").write_bytes(b"Rar!")

    with pytest.raises(DataError, match="neither a folder nor a readable zip"):
        open_fully(tmp_path / "data.rar")


@pytest.mark.parametrize("target", ["tiny-imagenet-200.zip", "tiny_imagenet/tiny-imagenet-200"])
def test_tiny_imagenet_tests_on_its_labeled_validation_images(
    tmp_path, write_tree, make_picture, publish_archive, target
):
    """Its own test set has no labels."""
    files = {
        f"train/n0{c}/images/n0{c}_{n}.JPEG": make_picture(c, (64, 64), "JPEG")
        for c in (1, 2)
        for n in (0, 1)
    }
    files["val/val_annotations.txt"] = b"val_1.JPEG\tn01\t0\t0\t62\t62\nval_0.JPEG\tn02\t0\t0\t62\t62\n"
    files |= {f"val/images/val_{n}.JPEG": make_picture(n, (64, 64), "JPEG") for n in (0, 1)}
    files |= {"test/images/test_0.JPEG": make_picture(5)}
    prefix = "tiny-imagenet-200/" if target.endswith(".zip") else ""
    path = write_tree(tmp_path / target, {prefix + name: content for name, content in files.items()})
    if path.is_file():
        publish_archive("tiny_imagenet", path)

    tiny = decode({"name": "tiny_imagenet"}, tmp_path)

    assert tiny.class_names == ("n01", "n02")
    assert tiny.train_labels.tolist() == [0, 0, 1, 1]
    assert tiny.test_labels.tolist() == [1, 0]  # val_0 first
    assert tiny.train_images.shape == (4, 64, 64, 3)


@pytest.mark.realdata
@pytest.mark.slow
def test_real_cifar_as_jpeg_zip_is_read(real_root, tmp_path):
    """The copy of CIFAR-10 that goes around as class folders of JPEG files."""
    if not (real_root / "cifar10-jpeg.zip").exists():
        pytest.skip("no cifar10-jpeg.zip below LTHSWEEP_DATA")

    packed = prepare(
        {"name": "image_folder", "path": "cifar10-jpeg.zip", "size": 32}, root=real_root, cache=tmp_path
    )

    assert packed.train_images.shape == (50000, 32, 32, 3)
    assert np.bincount(packed.test_labels).tolist() == [1000] * 10
    assert packed.class_names[:2] == ("airplane", "automobile")
