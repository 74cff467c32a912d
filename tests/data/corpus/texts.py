"""Texts: CSV files and folders of text files."""

from __future__ import annotations

from tests.data.corpus.case import Case, Files, Used, refused

TRAIN = "label,text\nsea,waves\nland,a hill\n"
TEST = "label,text\nsea,waves waves\nland,hill a\n"
FULL = Used({"land": ["a hill"], "sea": ["waves"]}, {"land": ["hill a"], "sea": ["waves waves"]})


def parts(train: str = TRAIN, test: str = TEST, encoding: str = "utf-8") -> Files:
    return {"train.csv": train.encode(encoding), "test.csv": test.encode(encoding)}


def single(text: str, encoding: str = "utf-8") -> Files:
    return {"data.csv": text.encode(encoding)}


POOL = "label,text\na,one\na,two\nb,three\nb,four\n"
POOLED = Used(pool={"a": ["<unk>", "one"], "b": ["<unk>", "three"]}, remarks={"test tokens": 2})


def counted(base: Used, unused: dict[str, int] | None = None, remarks: dict[str, int] | None = None) -> Used:
    return Used(base.train, base.test, base.pool, unused or {}, remarks or {}, base.layout)


CSV_TEXTS = (
    Case("two parts", parts(), FULL),
    Case("two parts in a zip", {f"c/{name}": text for name, text in parts().items()}, FULL, "data.zip"),
    Case("two parts in a tar.xz", parts(), FULL, "data.tar.xz"),
    Case("a byte order mark", parts("\ufeff" + TRAIN, "\ufeff" + TEST), FULL),
    Case("UTF-16 with its mark", parts(encoding="utf-16"), FULL),
    Case("UTF-32 with its mark", parts(encoding="utf-32"), FULL),
    Case("ends of lines of Windows", parts(TRAIN.replace("\n", "\r\n")), FULL),
    Case("ends of lines of an old Macintosh", parts(TRAIN.replace("\n", "\r")), FULL),
    Case("columns in another case and order", parts("id, TEXT ,Label\n1,waves,sea\n2,a hill,land\n"), FULL),
    Case("blanks around labels", parts("label,text\n sea ,waves\nland\t,a hill\n"), FULL),
    Case("empty lines", parts(TRAIN.replace("\n", "\n\n")), FULL),
    Case("a line break in quotes", parts('label,text\nsea,waves\nland,"a\nhill"\n'), FULL),
    Case(
        "quotes in quotes",
        parts('label,text\nsea,"say ""aye"""\nland,x\n', 'label,text\nsea,"aye"\nland,x\n'),
        Used(
            {"land": ["x"], "sea": ['say " aye "']},
            {"land": ["x"], "sea": ["aye"]},
            remarks={"same content": 1},
        ),
    ),
    Case(
        "a label in two Unicode forms",
        parts("label,text\ncafe\u0301,waves\nland,a hill\n", "label,text\ncafé,hill\nland,waves waves\n"),
        Used({"café": ["waves"], "land": ["a hill"]}, {"café": ["hill"], "land": ["waves waves"]}),
    ),
    Case(
        "long, empty and damaged texts",
        parts(TRAIN + f"sea,{'waves ' * 9}\nland, \nland,a \ufffd\n"),
        Used(
            {"land": ["a hill", "<unk>", "a \ufffd"], "sea": ["waves", " ".join(["waves"] * 8)]},
            FULL.test,
            remarks={"longer than data.length = 8": 1, "empty texts": 1, "U+FFFD": 1},
        ),
    ),
    Case(
        "a text in both parts",
        parts(test="label,text\nsea,waves\nland,dune\n"),
        Used(
            FULL.train,
            {"land": ["<unk>"], "sea": ["waves"]},
            remarks={"same content as a training sample": 1, "not in the vocabulary, of 2": 1},
        ),
    ),
    Case(
        "validation and other files next to the test",
        {
            **parts(),
            "val.csv": TEST.encode(),
            "sample_submission.csv": b"id\n1\n",
            "notes.md": b"x",
            ".git/config": b"x",
        },
        counted(
            FULL, {"CSV files of no used part": 2, "the ending .md, which are not read": 1, "hidden files": 1}
        ),
    ),
    Case(
        "Latin-1",
        parts(TRAIN + "sea,\xe9t\xe9\n", encoding="latin-1"),
        refused("train.csv", "not UTF-8", "iconv"),
    ),
    Case(
        "UTF-16 without its mark",
        parts(encoding="utf-16-le"),
        refused("train.csv", "NUL characters", "UTF-8"),
    ),
    Case(
        "UTF-16 that was cut", {"train.csv": TRAIN.encode("utf-16")[:-1]}, refused("train.csv", "not UTF-16")
    ),
    Case(
        "a column twice",
        parts("label,text,text\nsea,x,y\n"),
        refused("train.csv", "label, text, text", "one 'text'"),
    ),
    Case(
        "a row without a field",
        parts("label,text\nsea\n"),
        refused("train.csv, line 2", "1 fields", "quotes"),
    ),
    Case(
        "a row with too many fields",
        parts("label,text\nsea,a, b\n"),
        refused("train.csv, line 2", "3 fields", "quotes"),
    ),
    Case("a row without a label", parts("label,text\n,waves\n"), refused("train.csv, line 2", "no label")),
    Case("semicolons", parts("label;text\nsea;waves\n"), refused("label;text", "commas between")),
    Case("an open quote", parts('label,text\nsea,"waves\n'), refused("line 2", "repair that line")),
    Case("column names only", parts("label,text\n"), refused("train.csv", "no texts")),
    Case(
        "labels that differ in case",
        parts("label,text\nSea,waves\nsea,x\n", "label,text\nSea,y\nsea,z\n"),
        refused("'Sea' and 'sea'", "one name"),
    ),
    Case(
        "a class of one text",
        single("label,text\na,x\na,y\nb,z\n"),
        refused("'b'", "only one of the texts"),
        "data.csv",
    ),
    Case("a class without test texts", parts(TRAIN + "sky,x\n"), refused("'sky'", "no test texts")),
    Case(
        "a class without training texts", parts(test=TEST + "sky,x\n"), refused("'sky'", "no training texts")
    ),
    Case(
        "two training files",
        {"train.csv": b"", "training.csv": b""},
        refused("train.csv and training.csv", "keep one"),
    ),
    Case("two files without a part", {"a.csv": b"", "b.csv": b""}, refused("a.csv, b.csv", "rename")),
    Case("no CSV file", {"train.tsv": b"label\ttext\n"}, refused("no CSV file", "train.csv")),
)

FOLDER = {"train/a/1.txt": b"x y", "train/b/1.txt": b"y", "test/a/1.txt": b"y x", "test/b/1.txt": b"y y"}
FOLDER_FULL = Used({"a": ["x y"], "b": ["y"]}, {"a": ["y x"], "b": ["y y"]})

TEXT_FOLDERS = (
    Case("two parts", FOLDER, FOLDER_FULL),
    Case("a tar.gz", {f"c/{name}": text for name, text in FOLDER.items()}, FOLDER_FULL, "data.tar.gz"),
    Case(
        "notes next to the texts",
        {**FOLDER, "train/a/notes.md": b"x", "urls.txt.bak": b"x"},
        counted(
            FOLDER_FULL, {"the ending .md, which are not read": 1, "the ending .bak, which are not read": 1}
        ),
    ),
    Case(
        "unlabeled texts in another folder",
        {**FOLDER, "unsup/1.txt": b"z", "unsup/2.txt": b"z"},
        counted(FOLDER_FULL, {"no part of train/CLASS and test/CLASS": 2}),
    ),
    Case(
        "a text of another encoding",
        {**FOLDER, "test/a/1.txt": b"\xff\xe9"},
        refused("test/a/1.txt", "UTF-8"),
    ),
    Case("a class without test texts", {**FOLDER, "train/c/1.txt": b"z"}, refused("'c'", "no test texts")),
    Case(
        "a class of other files",
        {**FOLDER, "train/c/1.docx": b"z"},
        refused("train/c", "1 with the ending .docx", "remove the folder"),
    ),
    Case(
        "a class of one text",
        {"a/1.txt": b"x", "a/2.txt": b"y", "b/1.txt": b"z"},
        refused("'b'", "only one of the texts"),
    ),
)
