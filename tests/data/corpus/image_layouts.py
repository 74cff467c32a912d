"""Images in class folders: layouts that are read, and layouts that are ambiguous."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from tests.data.corpus.case import Case, Files, Link, Used, refused, write_folder
from tests.data.corpus.image_files import (
    CAT_DOG,
    FULL,
    POOLED,
    counted,
    folder,
    image,
    pairs,
    table,
    under,
)

NFC, NFD = "café", unicodedata.normalize("NFD", "café")


def write_links(path: Path, files: Files) -> None:
    """Class folders that are links to folders elsewhere."""
    write_folder(path.parent / "elsewhere", files)
    path.mkdir()
    for name in ("cat", "dog"):
        (path / name).symlink_to(path.parent / "elsewhere" / name)


LAYOUTS = (
    Case("class folders", CAT_DOG, POOLED),
    Case(
        "two images per class",
        {**folder("a", 1, 2), **folder("b", 3, 4)},
        Used(pool={"a": [1, 2], "b": [3, 4]}),
    ),
    Case("train and test", pairs(), FULL),
    Case("train and val", pairs(test="val"), FULL),
    Case("train and valid", pairs(test="valid"), FULL),
    Case("Training and VALIDATION", pairs("Training", "VALIDATION"), FULL),
    Case("train only", {**folder("train/cat", 1, 2, 3), **folder("train/dog", 11, 12, 13)}, POOLED),
    Case("parts one level down", under("pets-v1", pairs()), FULL),
    Case("classes two levels down", under("a/b", CAT_DOG), POOLED),
    Case(
        "Kaggle's pair of part folders",
        {
            **pairs("seg_train/seg_train", "seg_test/seg_test"),
            **folder("seg_pred/seg_pred", 91, 92, 93, 94, 95),
        },
        counted({"no part of seg_train/seg_train/CLASS": 5}, FULL),
    ),
    Case("training_set and test_set", pairs("training_set/training_set", "test_set/test_set"), FULL),
    Case(
        "an inner folder of images",
        {**folder("cat/images", 1, 2, 3), **folder("dog/images", 11, 12, 13)},
        POOLED,
    ),
    Case(
        "a class that is called train",
        {**folder("bus", 1, 2), **folder("car", 3, 4), **folder("train", 5, 6)},
        Used(pool={"bus": [1, 2], "car": [3, 4], "train": [5, 6]}),
    ),
    Case(
        "a class train with an inner folder",
        {**folder("bus/images", 1, 2), **folder("train/images", 5, 6)},
        Used(pool={"bus": [1, 2], "train": [5, 6]}),
    ),
    Case(
        "classes with the word train in their names",
        {**folder("freight_train", 1, 2), **folder("列车_train", 3, 4), **folder("汽车_train", 5, 6)},
        Used(pool={"freight_train": [1, 2], "列车_train": [3, 4], "汽车_train": [5, 6]}),
    ),
    Case(
        "a class that is called test",
        {**folder("exam", 1, 2), **folder("test", 3, 4)},
        Used(pool={"exam": [1, 2], "test": [3, 4]}),
    ),
    Case(
        "Tiny ImageNet's own layout",
        {
            **folder("tiny-imagenet-200/train/n01/images", 1, 2, ending="JPEG"),
            **folder("tiny-imagenet-200/train/n02/images", 11, 12, ending="JPEG"),
            "tiny-imagenet-200/train/n01/n01_boxes.txt": b"n01_1.JPEG 0 0 62 62",
            **folder("tiny-imagenet-200/val/images", 3, 13, ending="JPEG"),
            "tiny-imagenet-200/val/val_annotations.txt": table("013.JPEG\tn01\t0\t0;003.JPEG\tn02\t0\t0;"),
            **folder("tiny-imagenet-200/test/images", 99, ending="JPEG"),
            "tiny-imagenet-200/wnids.txt": b"n01\nn02\n",
        },
        counted(
            {"in no class folder": 1, "the ending .txt, which are not read": 2},
            Used({"n01": [1, 2], "n02": [11, 12]}, {"n01": [13], "n02": [3]}, layout="val_annotations.txt"),
        ),
    ),
    Case(
        "Unicode forms that differ between the parts",
        {
            **folder(f"train/{NFC}", 1, 2),
            **folder("train/日本 語", 3),
            **folder(f"test/{NFD}", 4),
            **folder("test/日本 語", 5),
        },
        Used({NFC: [1, 2], "日本 語": [3]}, {NFC: [4], "日本 語": [5]}),
    ),
    Case(
        "letters of both cases",
        {**folder("A", 1, 2), **folder("a", 3, 4)},
        Used(pool={"A": [1, 2], "a": [3, 4]}),
    ),
    Case(
        "classes that are numbers",
        {**folder("2", 1, 2), **folder("10", 3, 4)},
        Used(pool={"10": [3, 4], "2": [1, 2]}),
    ),
    Case("class folders that are links", CAT_DOG, POOLED, write=write_links),
)


AMBIGUOUS = (
    Case(
        "an image in no class folder",
        {**CAT_DOG, "9.png": image(9)},
        refused("9.png", "no class folder", "CSV"),
    ),
    Case(
        "a class with test images only",
        {**pairs(), **folder("test/elk", 9)},
        refused("'elk'", "no training images"),
    ),
    Case(
        "a class with training images only",
        {**pairs(), **folder("train/elk", 9)},
        refused("'elk'", "no test images"),
    ),
    Case(
        "classes of one image",
        {**CAT_DOG, **folder("elk", 21), **folder("yak", 31)},
        refused("'elk', 'yak'", "only one"),
    ),
    Case("a single class", folder("cat", 1, 2, 3), refused("only one class", "'cat'")),
    Case(
        "two data sets",
        {**under("old", CAT_DOG), **under("new", CAT_DOG)},
        refused("'new'", "new/cat, new/dog", "CSV"),
    ),
    Case(
        "a class train of other files",
        {**CAT_DOG, "train/1.heic": b"x"},
        refused("train: no images", "1 with the ending .heic", "remove the folder"),
    ),
    Case(
        "classes below the letters of their names",
        {**folder("a/airfield", 1, 2), **folder("a/alley", 3, 4), **folder("b/beach", 5, 6)},
        refused("'a' holds no images itself", "a/airfield, a/alley"),
    ),
    Case(
        "folders of folders",
        {**folder("cat/persian", 1, 2), **folder("cat/siamese", 3), **folder("dog", 4, 5)},
        refused("'cat' holds no images itself", "cat/persian, cat/siamese"),
    ),
    Case(
        "two training parts",
        {**pairs(), **folder("training/cat", 7)},
        refused("train, training", "both the part train"),
    ),
    Case(
        "two training parts that differ in case",
        {**pairs(), **folder("Train/cat", 7)},
        refused("Train, train"),
    ),
    Case(
        "a test part alone",
        {**folder("test/cat", 1, 2), **folder("test/dog", 3, 4)},
        refused("there are test but no train folder", "add one"),
    ),
    Case(
        "parts without train",
        {**folder("test/cat", 1), **folder("val/cat", 2)},
        refused("test, val", "no train folder"),
    ),
    Case(
        "parts without classes",
        {**folder("train", 1, 2), **folder("test", 3)},
        refused("train/001.png", "CSV"),
    ),
    Case(
        "test images of unknown classes",
        {**folder("train/a", 1, 2), **folder("train/b", 3, 4), **folder("test", 5, 6)},
        refused("2 images of test", "move test away"),
    ),
    Case(
        "a part with another name",
        {**folder("train/a", 1, 2), **folder("train/b", 3, 4), **folder("holdout/a", 5)},
        refused("'holdout'", "rename it to test"),
    ),
    Case(
        "classes that differ in case",
        {**folder("Cat", 1, 2), **folder("cat", 3, 4)},
        refused("'Cat' and 'cat'", "one name"),
    ),
    Case(
        "classes that differ in a blank",
        {**folder("big cat", 1, 2), **folder("big  cat", 3, 4)},
        refused("blanks"),
    ),
    Case(
        "the case of a class differs between parts",
        {
            **folder("train/Cat", 1),
            **folder("train/dog", 2),
            **folder("test/cat", 3),
            **folder("test/dog", 4),
        },
        refused("'cat' has test images but no training images", "rename it if it is 'Cat'"),
    ),
    Case(
        "one class name in two Unicode forms",
        {**folder(NFC, 1, 2), **folder(NFD, 3, 4)},
        refused("two Unicode forms"),
    ),
    Case(
        "an annotated file that is missing",
        {
            **folder("train/n1", 1, 2),
            **folder("train/n2", 3, 4),
            **folder("val/images", 5),
            "val/val_annotations.txt": b"006.png\tn1\n",
        },
        refused("val_annotations.txt, line 1", "'006.png'"),
    ),
    Case("a circle of links", {**CAT_DOG, "cat/loop": Link("..")}, refused("folders deep", "link")),
)
