"""Small data sets in the true formats, so that no test needs a network or a real file."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lthsweep.data.cache import prepare
from lthsweep.data.datasets import DATASETS


def idx(array: np.ndarray) -> bytes:
    return (
        struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    )


def picture(value: int, size: tuple[int, int] = (12, 12), kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (value, 2 * value % 256, 7)).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def publish(monkeypatch) -> Callable[..., None]:
    """Replace attributes of the entry of a data set, so that small files count as the published ones."""

    def change(name: str, **changes: object) -> None:
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], **changes))

    return change


@pytest.fixture
def publish_archive(publish) -> Callable[..., None]:
    """Make an archive the published one of a data set."""

    def change(name: str, archive: Path) -> None:
        [file] = DATASETS[name].files
        publish(name, files=(replace(file, md5=md5(archive.read_bytes()).hexdigest()),))

    return change


@pytest.fixture
def write_mnist(publish) -> Callable[..., dict[str, np.ndarray]]:
    """Write 40 training and 20 test images of 6x5 pixels as four IDX files, which then are the published ones."""

    def write(
        folder: Path, *, zipped: bool = True, seed: int = 7, name: str = "mnist"
    ) -> dict[str, np.ndarray]:
        folder.mkdir(parents=True, exist_ok=True)
        words = np.random.default_rng(seed)
        arrays = {
            "train-images-idx3-ubyte": words.integers(0, 256, (40, 6, 5), dtype=np.uint8),
            "train-labels-idx1-ubyte": (np.arange(40) % 10).astype(np.uint8),
            "t10k-images-idx3-ubyte": words.integers(0, 256, (20, 6, 5), dtype=np.uint8),
            "t10k-labels-idx1-ubyte": (np.arange(20) % 10).astype(np.uint8),
        }
        published = []
        for file, array in zip(DATASETS[name].files, arrays.values(), strict=True):
            content = idx(array)
            packed = gzip.compress(content, mtime=0)
            (folder / (file.file if zipped else file.unpacked)).write_bytes(packed if zipped else content)
            unpacked_md5 = file.unpacked_md5 and md5(content).hexdigest()
            published.append(
                replace(file, md5=md5(packed).hexdigest(), unpacked_md5=unpacked_md5, size=len(packed))
            )
        publish(name, files=tuple(published))
        return arrays

    return write


@pytest.fixture
def cifar_files(publish) -> Callable[[str], dict[str, bytes]]:
    """The files of a small CIFAR-10 or CIFAR-100 in the binary version, by name inside of its folder.

    The entry of the data set gets their counts.
    """

    def make(name: str) -> dict[str, bytes]:
        words = np.random.default_rng(3)

        def records(count: int) -> bytes:
            pixels = words.integers(0, 256, (count, 3072), dtype=np.uint8)
            if name == "cifar10":
                labels = (np.arange(count) % 10)[:, None]
            else:
                labels = np.stack([np.arange(count) % 20, 99 - np.arange(count)], axis=1)
            return np.concatenate([labels.astype(np.uint8), pixels], axis=1).tobytes()

        if name == "cifar10":
            files = {f"data_batch_{number}.bin": records(10) for number in range(1, 6)}
            files["test_batch.bin"] = records(10)
            files["batches.meta.txt"] = "\n".join(f"class{n}" for n in range(10)).encode() + b"\n\n"
        else:
            files = {"train.bin": records(30), "test.bin": records(10)}
            files["fine_label_names.txt"] = "\n".join(f"fine{n}" for n in range(100)).encode() + b"\n"
        publish(name, n_train=50 if name == "cifar10" else 30, n_test=10)
        return files

    return make


@pytest.fixture
def write_tar() -> Callable[..., Path]:
    def write(path: Path, members: dict[str, bytes]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return write


@pytest.fixture
def write_tree() -> Callable[..., Path]:
    """Write files as a folder or, where the path ends so, as a zip."""

    def write(path: Path, members: dict[str, bytes]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in members.items():
                    archive.writestr(name, content)
        else:
            for name, content in members.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(content)
        return path

    return write


@pytest.fixture
def make_picture() -> Callable[..., bytes]:
    return picture


@pytest.fixture(scope="session")
def digits_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the digits at 8x8, the quickest real data set."""
    cache = tmp_path_factory.mktemp("digits-cache")
    prepare({"name": "digits", "size": 8}, cache=cache)
    return cache


@pytest.fixture
def real_root() -> Path:
    """The folder of the real data sets; the test is skipped where there is none."""
    if "LTHSWEEP_DATA" not in os.environ:
        pytest.skip("LTHSWEEP_DATA is not set")
    return Path(os.environ["LTHSWEEP_DATA"])
