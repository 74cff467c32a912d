"""Images that a CSV file lists."""

from __future__ import annotations

from tests.data.corpus.case import Case, Used, refused
from tests.data.corpus.image_files import (
    counted,
    folder,
    image,
    table,
)

LISTS = (
    Case(
        "a list of paths and labels",
        {
            "list.csv": table("path,label;cat/001.png,Cat;x/2.png, Cat ;dog/011.png,Dog;dog/012.png,Dog;"),
            **folder("cat", 1),
            "x/2.png": image(2),
            **folder("dog", 11, 12, 99),
        },
        Used(pool={"Cat": [1, 2], "Dog": [11, 12]}, layout="list.csv"),
        "list.csv",
    ),
    Case(
        "a list with splits",
        {
            "list.csv": table(
                "id,Split,label,path;1,train,a,1.png;2,Train,b,2.png;3,test,b,4.png;4,TEST,a,3.png;"
            ),
            **{f"{n}.png": image(n) for n in (1, 2, 3, 4)},
        },
        Used({"a": [1], "b": [2]}, {"a": [3], "b": [4]}),
        "list.csv",
    ),
    Case(
        "names and labels with zeros in front",
        {
            "list.csv": table("path,label;007.png,01;7.png,01;08.png,1;8.png,1;"),
            "007.png": image(1),
            "7.png": image(2),
            "08.png": image(3),
            "8.png": image(4),
        },
        Used(pool={"01": [1, 2], "1": [3, 4]}),
        "list.csv",
    ),
    Case(
        "a list with train and val",
        {
            "list.csv": table("path,label,split;1.png,a,train;2.png,b,train;3.png,a,val;4.png,b,valid;"),
            **{f"{n}.png": image(n) for n in (1, 2, 3, 4)},
        },
        Used({"a": [1], "b": [2]}, {"a": [3], "b": [4]}),
        "list.csv",
    ),
    Case(
        "a list with Windows paths and a byte order mark",
        {
            "list.csv": table("﻿path,label;pics\\1.png,a;.\\pics\\2.png,a;pics\\3.png,b;pics\\4.png,b;"),
            **{f"pics/{n}.png": image(n) for n in (1, 2, 3, 4)},
        },
        Used(pool={"a": [1, 2], "b": [3, 4]}),
        "list.csv",
    ),
    Case(
        "a list in a zip, with other images",
        {
            "d/labels.csv": table("path,label;i/1.png,a;i/2.png,a;i/3.png,b;i/4.png,b;"),
            **{f"d/i/{n}.png": image(n) for n in (1, 2, 3, 4, 5)},
        },
        counted(
            {"no part of the list d/labels.csv": 1},
            Used(pool={"a": [1, 2], "b": [3, 4]}, layout="d/labels.csv"),
        ),
        "data.zip",
    ),
    Case(
        "a list with val next to test, and a row twice",
        {
            "list.csv": table(
                "path,label,split;1.png,a,train;1.png,a,train;2.png,b,train;3.png,a,test;4.png,b,test;5.png,a,val;"
            ),
            **{f"{n}.png": image(n) for n in (1, 2, 3, 4, 5)},
        },
        counted({"repeat an earlier": 1, "split val": 1}, Used({"a": [1], "b": [2]}, {"a": [3], "b": [4]})),
        "list.csv",
    ),
    Case(
        "a listed file that does not exist",
        {"list.csv": table("path,label;0.png,a;"), "1.png": image(1)},
        refused("line 2", "0.png", "does not exist", "remove the row"),
        "list.csv",
    ),
    Case(
        "a listed path without its ending",
        {"d/list.csv": table("path,label;001,a;"), **folder("d", 1)},
        refused("line 2", "without its ending", "001.png"),
        "d",
    ),
    Case(
        "a listed absolute path",
        {"list.csv": table("path,label;/etc/1.png,a;")},
        refused("line 2", "/etc/1.png", "relative to that folder"),
        "list.csv",
    ),
    Case(
        "a listed path with a drive",
        {"list.csv": table("path,label;C:\\pics\\1.png,a;")},
        refused("line 2", "absolute"),
        "list.csv",
    ),
    Case(
        "a listed path that leaves the folder",
        {"list.csv": table("path,label;a/../../1.png,a;")},
        refused("line 2", "out of the folder"),
        "list.csv",
    ),
    Case(
        "a path with two labels",
        {"list.csv": table("path,label;1.png,a;1.png,b;"), "1.png": image(1)},
        refused("line 3", "'1.png' is 'b', but 'a' in line 2", "keep one"),
        "list.csv",
    ),
    Case(
        "a path in two parts",
        {"list.csv": table("path,label,split;1.png,a,train;1.png,a,test;"), "1.png": image(1)},
        refused("line 3", "in test", "in train in line 2"),
        "list.csv",
    ),
    Case(
        "an unknown split",
        {"list.csv": table("path,label,split;1.png,a,holdout;"), "1.png": image(1)},
        refused("line 2", "'holdout'", "write one of train"),
        "list.csv",
    ),
    Case(
        "an empty label",
        {"list.csv": table("path,label;1.png, ;"), "1.png": image(1)},
        refused("line 2", "no label"),
        "list.csv",
    ),
    Case(
        "a list without column names",
        {"list.csv": table("1.png,a;2.png,b;")},
        refused("there must be one 'label'", "write label,path"),
        "list.csv",
    ),
    Case(
        "a column twice",
        {"list.csv": table("path,label,label;1.png,a,b;")},
        refused("label, label", "one 'label'"),
        "list.csv",
    ),
    Case(
        "a listed file of another ending",
        {"list.csv": table("path,label;1.heic,a;"), "1.heic": b"x"},
        refused("line 2", "1.heic", "convert"),
        "list.csv",
    ),
    Case(
        "two lists",
        {"a.csv": table("path,label;1.png,a;"), "b.csv": table("path,label;1.png,b;"), "1.png": image(1)},
        refused("a.csv, b.csv", "column split"),
    ),
    Case(
        "a list of one part only",
        {"list.csv": table("path,label,split;1.png,a,test;"), "1.png": image(1)},
        refused("no sample with the split train"),
        "list.csv",
    ),
)
