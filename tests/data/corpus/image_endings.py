"""Files next to the images, and images that are used in a doubtful way."""

from __future__ import annotations

from tests.data.corpus.case import Case, Link, Used, refused
from tests.data.corpus.image_files import (
    CAT_DOG,
    FULL,
    counted,
    folder,
    image,
    pairs,
)

ENDINGS = (
    Case(
        "every ending that is read",
        {
            **folder("cat", 0, ending="gif", kind="GIF"),
            **folder("cat", 64, ending="TIF", kind="TIFF"),
            **folder("dog", 8, ending="jfif", kind="PNG"),
            **folder("dog", 16, ending="BMP", kind="BMP"),
            **folder("dog", 24, ending="ppm", kind="PPM"),
        },
        Used(pool={"cat": [0, 64], "dog": [8, 16, 24]}),
    ),
    Case(
        "PNG files that are called JPG",
        {**folder("a", 1, 2, ending="JPG"), **folder("b", 3, 4, ending="JPG")},
        Used(pool={"a": [1, 2], "b": [3, 4]}),
    ),
    Case(
        "some files of an ending that is not read",
        {**CAT_DOG, "dog/a.heic": b"x", "dog/b.HEIC": b"x", "dog/c.svg": b"<svg/>", "cat/noending": b"x"},
        counted(
            {
                "the ending .heic, which are not read": 2,
                "the ending .svg, which are not read": 1,
                "no ending": 1,
            }
        ),
    ),
    Case(
        "documents next to the classes",
        {**CAT_DOG, "README.md": b"x", "meta.csv": b"id,breed\n1,x\n"},
        counted({"the ending .md, which are not read": 1, "columns path and label": 1}),
    ),
    Case(
        "a class of HEIC files",
        {**CAT_DOG, **{f"elk/{n}.heic": b"x" for n in range(5)}},
        refused("elk", "5 with the ending .heic", "convert", "remove the folder"),
    ),
    Case(
        "a class of arrays in one part",
        {**pairs(), "train/elk/1.npy": b"x"},
        refused("train/elk", "1 with the ending .npy"),
    ),
    Case(
        "a training part of other files",
        {"train/1.heic": b"x", **folder("test/a", 1, 2)},
        refused("train holds no images", "1 with the ending .heic"),
    ),
    Case(
        "a training part of other files in a pair",
        {"seg_train/a/1.heic": b"x", **folder("seg_test/a", 1, 2), **folder("seg_test/b", 3, 4)},
        refused("seg_train holds no images", "1 with the ending .heic"),
    ),
    Case(
        "a test part of other files",
        {**folder("train/a", 1, 2), **folder("train/b", 3), "test/a/1.avif": b"x"},
        refused("test holds no images", "1 with the ending .avif"),
    ),
    Case(
        "only files of other endings",
        {"a/1.heic": b"x", "b/2.heic": b"x"},
        refused("holds no images", "2 with the ending .heic"),
    ),
    Case("an empty class folder", {**CAT_DOG, "elk": None}, refused("elk", "no images", "remove the folder")),
    Case("an empty class folder in a zip", {**CAT_DOG, "elk": None}, refused("elk", "no images"), "data.zip"),
    Case("a class folder of hidden files", {**CAT_DOG, "elk/.DS_Store": b"x"}, refused("elk", "no images")),
    Case(
        "litter of three operating systems",
        {
            **CAT_DOG,
            "cat/.DS_Store": b"x",
            "cat/._001.png": b"x",
            "dog/Thumbs.db": b"x",
            "desktop.ini": b"x",
            ".ipynb_checkpoints/cat/1.png": image(99),
            "cat/@eaDir/001.png/SYNOPHOTO_THUMB_M.jpg": image(99),
        },
        counted({"hidden files": 6}),
    ),
    Case(
        "a link that leads nowhere", {**CAT_DOG, "cat/9.png": Link("gone.png")}, counted({"lead nowhere": 1})
    ),
    Case(
        "val next to test",
        {**pairs(), **folder("val/cat", 5), **folder("val/dog", 15)},
        counted({"images of val: test is the test part": 2}, FULL),
    ),
    Case(
        "a test part without classes next to val",
        {**pairs(test="val"), **folder("test", 91, 92, 93)},
        counted({"images of test: in no class folder": 3}, FULL),
    ),
    Case(
        "folders below class folders",
        {**CAT_DOG, **folder("cat/thumbs", 91, 92)},
        counted({"below class folders": 2}),
    ),
    Case(
        "images next to the parts",
        {**pairs(), "sample.png": image(9), **folder("drafts/a", 91)},
        counted({"no part of train/CLASS and test/CLASS": 2}, FULL),
    ),
)


DUPLICATES = (
    Case(
        "a test image that is a training image",
        {**pairs(), "test/cat/copy.png": image(1)},
        Used(
            {"cat": [1, 2], "dog": [11, 12]},
            {"cat": [3, 1], "dog": [13]},
            remarks={"same content as a training": 1},
        ),
    ),
    Case(
        "an image in two classes",
        {**pairs(), "train/dog/copy.png": image(1)},
        Used({"cat": [1, 2], "dog": [11, 12, 1]}, {"cat": [3], "dog": [13]}, remarks={"of another class": 2}),
    ),
)
