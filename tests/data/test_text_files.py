"""Reading texts: both forms, and every way in which files can be wrong."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from lthsweep.data.cache import decode, open_packed, prepare, verify
from lthsweep.data.lookup import pack_folder
from lthsweep.data.tokens import build_vocabulary
from lthsweep.errors import DataError, MissingDataError

TRAIN = 'label,text\nsea,"Waves, waves"\nland,a hill\nsea,the tide\n'
TEST = "text,more,label\nthe waves,7,sea\na storm,,land\n"


@pytest.fixture
def corpus(tmp_path, write_tree):
    return write_tree(tmp_path / "corpus", {"train.csv": TRAIN.encode(), "test.csv": TEST.encode()})


def options(path, **more):
    return {"name": "text_csv", "path": str(path), "length": 8, **more}


@pytest.mark.parametrize("target", ["corpus", "corpus.zip"])
@pytest.mark.parametrize("test", ["test", "val", "valid"])
@pytest.mark.parametrize("wrapper", ["", "corpus-v1/"])
def test_csv_columns_are_read_by_name(tmp_path, write_tree, target, test, wrapper):
    """In any order, among other columns, in a folder or a zip, with or without a byte order mark."""
    files = {f"{wrapper}train.csv": b"\xef\xbb\xbf" + TRAIN.encode(), f"{wrapper}{test}.csv": TEST.encode()}
    path = write_tree(tmp_path / target, files)

    texts = decode(options(path), tmp_path)

    assert texts.class_names == ("land", "sea")
    assert texts.train_labels.tolist() == [1, 0, 1]
    assert texts.test_labels.tolist() == [1, 0]
    assert texts.vocabulary == ("<pad>", "<unk>", "waves", ",", "a", "hill", "the", "tide")
    assert texts.train_images[0].tolist() == [2, 3, 2, 0, 0, 0, 0, 0]
    assert texts.test_images[1].tolist() == [4, 1, 0, 0, 0, 0, 0, 0]  # only the test knows a storm


@pytest.mark.parametrize("name", ["reviews.csv", "alone/reviews.csv", "alone/train.csv"])
def test_single_files_give_one_in_five_as_test(tmp_path, write_tree, name):
    """For any file name; the classes in proportion; the vocabulary is from the other four."""
    rows = [f"{'ab'[n % 2]},word{n}" for n in range(20)]
    write_tree(tmp_path / "files", {name: "\n".join(["label,text", *rows]).encode()})
    path = tmp_path / "files" / name.split("/")[0]

    texts = decode(options(path), tmp_path)

    assert np.bincount(texts.test_labels).tolist() == [2, 2]
    assert len(texts.vocabulary) == 2 + 16
    assert (texts.test_images[:, 0] == 1).all()


def test_a_folder_of_text_files_is_read(tmp_path, write_tree):
    """Folders are the classes, in sorted order of their names and of the files'."""
    files = {
        "train/b/1.txt": b"x y",
        "train/a/2.txt": "été".encode(),
        "train/a/10.txt": b"z",
        "train/a/notes.md": b"passed over",
        "test/a/1.txt": b"z",
        "test/b/1.txt": b"",
    }
    path = write_tree(tmp_path / "texts", files)

    texts = decode({"name": "text_folder", "path": str(path), "length": 8}, tmp_path)

    assert texts.class_names == ("a", "b")
    assert texts.train_labels.tolist() == [0, 0, 1]
    assert texts.vocabulary[2:] == ("x", "y", "z", "été")
    assert texts.train_images[:, 0].tolist() == [4, 5, 2]
    assert texts.test_images[1].tolist() == [1] + [0] * 7


def test_both_forms_of_texts_give_the_same_data(tmp_path, write_tree):
    """Except for their order, which is that of the files."""
    rows = [("a", "one, two"), ("a", 'say "three"'), ("b", "line\nbreak")]
    folder = {
        f"{part}/{label}/{n}.txt": text.encode()
        for n, (label, text) in enumerate(rows)
        for part in ("train", "test")
    }
    write_tree(tmp_path / "folder", folder)
    (tmp_path / "csv").mkdir()
    for part in ("train", "test"):
        with (tmp_path / f"csv/{part}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("label", "text"), *rows])

    one = decode({"name": "text_folder", "path": str(tmp_path / "folder"), "length": 8}, tmp_path)
    other = decode({"name": "text_csv", "path": str(tmp_path / "csv"), "length": 8}, tmp_path)

    assert one.vocabulary == other.vocabulary
    assert (one.train_images == other.train_images).all()
    assert (one.test_labels == other.test_labels).all()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.md": b""}, "holds no CSV file"),
        ({"a.csv": b"", "b.csv": b""}, "holds a.csv, b.csv but no train.csv"),
        ({"x/train.csv": b"", "y/train.csv": b""}, "keep one of them"),
        ({"train.csv": b""}, r"train.csv: its first line names the columns \(none\)"),
        ({"train.csv": b"label,review\na,b\n"}, "columns label, review; there must be one 'text'"),
        ({"train.csv": b"a,some text\n"}, "must be one 'label'"),
        ({"train.csv": b"label,text\n"}, "no texts"),
        ({"train.csv": b"label,text\na,x\nb,one, two\n"}, "train.csv, line 3: 3 fields.* put quotes"),
        ({"train.csv": b"label,text\na,x\n ,y\n"}, "line 3: no label"),
        ({"train.csv": b'label,text\na,"x\n'}, "line 2: .*; repair that line"),
        ({"train.csv": b"label,text\na,caf\xe9\n"}, "train.csv is not UTF-8: byte 0xe9 at position 16"),
        (
            {"train.csv": b"label,text\na,x\nb,y\n", "test.csv": b"label,text\na,x\n"},
            "class 'b' has training texts but no test texts",
        ),
        (
            {"train.csv": b"label,text\na,x\nb,y\n", "test.csv": b"label,text\na,x\nb,y\nc,z\n"},
            "class 'c' has test texts but no training",
        ),
        ({"train.csv": b"label,text\na, \nb,\na,\nb, \n"}, "all training texts are empty"),
    ],
)
def test_errors_in_a_csv_name_its_file(tmp_path, write_tree, files, message):
    """The message has the line, if any, and the remedy."""
    path = write_tree(tmp_path / "odd", files)

    with pytest.raises(DataError, match=message) as caught:
        decode(options(path), tmp_path)
    assert str(path) in str(caught.value)


def test_errors_in_a_single_csv_name_it_once(tmp_path):
    """There is no folder with its name."""
    path = tmp_path / "reviews.csv"
    path.write_text("label,text\n")

    with pytest.raises(DataError) as caught:
        decode(options(path), tmp_path)

    assert str(caught.value).startswith(f"{path} holds column names but no texts")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme.md": b""}, "holds no texts"),
        ({"train/a/1.txt": b"x", "train/b/1.txt": b"\xff"}, r"b/1.txt is not UTF-8: byte 0xff at position 0"),
        (
            {"train/a/1.txt": b"x", "train/b/1.txt": b"y", "test/a/1.txt": b"x"},
            "'b' has training texts but no",
        ),
    ],
)
def test_what_is_wrong_in_a_folder_is_named(tmp_path, write_tree, files, message):
    """Nothing is guessed, nothing is left out silently."""
    with pytest.raises(DataError, match=message):
        decode({"name": "text_folder", "path": str(write_tree(tmp_path / "odd", files))}, tmp_path)


def test_one_class_is_refused(tmp_path, write_tree):
    """There is nothing to learn."""
    path = write_tree(tmp_path / "c", {"train.csv": b"label,text\na,x\na,y\na,z\n"})

    with pytest.raises(DataError, match="only one class, 'a'"):
        prepare(options(path), cache=tmp_path / "cache")


def test_absent_files_are_missing_data(tmp_path):
    """With the places that were looked at."""
    with pytest.raises(MissingDataError, match=r"nowhere.*train\.csv"):
        decode({"name": "text_csv", "path": "nowhere"}, tmp_path)


def test_long_texts_do_not_change_the_csv_limit(tmp_path, write_tree):
    """The csv module takes 128 KiB by itself; its limit is one for the whole process."""
    path = write_tree(
        tmp_path / "c", {"train.csv": f"label,text\na,{'x ' * 200_000}\na,x\nb,y\nb,z\n".encode()}
    )
    before = csv.field_size_limit()

    decode(options(path), tmp_path)

    assert csv.field_size_limit() == before


def test_a_pack_gives_texts_and_vocabulary_back(corpus, tmp_path):
    """Mapped numbers of tokens, no moments, and the vocabulary in a file that can be read."""
    packed = prepare(options(corpus), cache=tmp_path / "cache")
    again = open_packed(options(corpus), cache=tmp_path / "cache")

    direct = decode(options(corpus), tmp_path)
    assert isinstance(again.train_images, np.memmap)
    assert again.train_images.dtype == np.uint16
    assert (again.train_images == direct.train_images).all()
    assert again.vocabulary == direct.vocabulary == packed.vocabulary
    assert (packed.folder / "vocabulary.txt").read_text().split("\n")[2] == "waves"
    assert (again.shape, again.mean, again.std) == ((8,), (), ())
    assert verify(options(corpus), cache=tmp_path / "cache").fingerprint == packed.fingerprint


@pytest.mark.parametrize("damage", ["swap", "cut", "remove"])
def test_a_changed_vocabulary_is_found(corpus, tmp_path, damage):
    """Numbers without their meaning are another data set."""
    packed = prepare(options(corpus), cache=tmp_path / "cache")
    file = packed.folder / "vocabulary.txt"
    lines = file.read_text().splitlines()
    if damage == "remove":
        file.unlink()
    else:
        file.write_text("\n".join(lines[:2] + lines[:1:-1] if damage == "swap" else lines[:-1]) + "\n")

    with pytest.raises(DataError, match="damaged"):
        verify(options(corpus), cache=tmp_path / "cache")


def test_the_fingerprint_knows_the_vocabulary(tmp_path, write_tree):
    """Two corpora with equal numbers and other words have different fingerprints."""
    paths = [
        write_tree(
            tmp_path / word,
            {"train.csv": f"label,text\na,{word}\na,{word}\nb,{word} {word}\nb,{word}\n".encode()},
        )
        for word in ("one", "two")
    ]

    packs = [prepare(options(path), cache=tmp_path / "cache") for path in paths]

    assert (packs[0].train_images == packs[1].train_images).all()
    assert packs[0].fingerprint != packs[1].fingerprint


def test_options_that_change_tokens_name_another_pack(corpus, tmp_path):
    """And defaults that are written out name the same one."""
    folders = [
        pack_folder({"name": "text_csv", "path": str(corpus), **more}, "", cache=tmp_path)
        for more in ({}, {"tokens": "char"}, {"vocabulary": 99}, {"length": 9}, {"name": "text_folder"})
    ]
    written = {"tokens": "word", "vocabulary": 20_000, "length": 64, "validation": 3}

    assert len(set(folders)) == 5
    assert pack_folder({"name": "text_csv", "path": "other", **written}, "", cache=tmp_path) == folders[0]


def test_changed_texts_are_not_silently_the_old_pack(corpus, tmp_path):
    """As for folders of images."""
    before = prepare(options(corpus), cache=tmp_path / "cache")
    with (corpus / "train.csv").open("a") as file:
        file.write("sea,one more\n")

    after = prepare(options(corpus), cache=tmp_path / "cache")

    assert len(after.train_labels) == len(before.train_labels) + 1
    assert after.source != before.source


def test_a_packed_vocabulary_of_characters_survives_its_file(tmp_path, write_tree):
    """The blank is a token, and so is every character that Python treats as the end of a line."""
    text = "a b\x1c\u2028c\ufeff"
    path = write_tree(
        tmp_path / "c", {"train.csv": f"label,text\na,{text}\na,{text}\nb,{text}d\nb,{text}\n".encode()}
    )

    packed = prepare(options(path, tokens="char"), cache=tmp_path / "cache")

    kept = [text, f"{text}d", text]
    assert set(packed.vocabulary) <= set(build_vocabulary(kept, 99, "char"))
    assert " " in packed.vocabulary
    assert len(packed.vocabulary) == len(set(packed.vocabulary))


@pytest.mark.parametrize("length", [7, 4097])
def test_lengths_out_of_range_are_refused(corpus, tmp_path, length):
    """The check of the file reports it earlier; a caller of the reader gets the same error."""
    with pytest.raises(DataError, match=f"data.length = {length}: must be"):
        decode(options(corpus, length=length), tmp_path)
