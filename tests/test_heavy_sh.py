"""tests/heavy.sh, behind `make test-heavy`: what failed gets one more chance, and nothing else becomes a success."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch.processes import PATIENCE

HEAVY = Path(__file__).with_name("heavy.sh")

FAILS = "import pytest\n@pytest.mark.heavy\ndef test_broken():\n    assert False\n"
PASSES = "import pytest\n@pytest.mark.heavy\ndef test_fine():\n    pass\n"
HICCUPS = """
import pathlib, pytest

@pytest.mark.heavy
@pytest.mark.parametrize("n", [1, 2])
def test_hiccup(n):
    seen = pathlib.Path(f"seen{n}")
    if n == 1 and not seen.exists():
        seen.touch()
        assert False
    assert not (n == 2 and seen.exists()), "run twice"
    seen.touch()
"""
VANISHES = """
import pathlib, pytest

@pytest.mark.heavy
@pytest.mark.parametrize("n", [1, 2] if pathlib.Path("seen").exists() else [1, 2, 3])
def test_one_of_several(n):
    if n != 1:
        pathlib.Path("seen").touch()
    assert n == 1 or n == 2 and not first, "fails"

first = not pathlib.Path("seen").exists()
"""


@pytest.fixture
def heavy(tmp_path):
    """Runs the script in a folder with some tests; returns exit code, output, and how often pytest was started."""

    def run(**files):
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = heavy\naddopts = -n auto -q\n")
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        (tmp_path / "conftest.py").write_text(
            "def pytest_sessionstart():\n    with open('starts', 'a') as file:\n        file.write('.')\n"
        )
        ended = subprocess.run(
            ["bash", str(HEAVY), sys.executable],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        return ended.returncode, ended.stdout + ended.stderr, len((tmp_path / "starts").read_text())

    return run


def test_what_passes_is_run_once(heavy):
    code, said, starts = heavy(fine=PASSES)

    assert (code, starts) == (0, 1)
    assert "####" not in said


def test_what_failed_is_run_again_alone_and_loudly(heavy):
    """The second of two passed at the first attempt, and would fail at a second."""
    code, said, starts = heavy(hiccups=HICCUPS, fine=PASSES)

    assert (code, starts) == (0, 2)
    assert "#### test-heavy: FAILED; NOW RUN ONCE MORE, ALONE:\ntest_hiccups.py::test_hiccup[1]\n" in said
    assert "#### test-heavy: PASSED, BUT ONLY AT THE SECOND ATTEMPT" in said


def test_what_fails_twice_has_failed(heavy):
    code, said, starts = heavy(hiccups=HICCUPS, broken=FAILS)

    assert (code, starts) == (1, 2)
    assert "#### test-heavy: FAILED TWICE, OR NOT RUN AGAIN:\ntest_broken.py::test_broken\n" in said


def test_what_cannot_be_run_again_has_failed(heavy):
    """Three tests, of which the second and third fail; then there are two, which pass."""
    code, said, starts = heavy(vanishes=VANISHES)

    assert (code, starts) == (1, 2)
    assert "FAILED TWICE, OR NOT RUN AGAIN:\ntest_vanishes.py::test_one_of_several[3]\n" in said


@pytest.mark.parametrize(
    ("files", "expected"), [({"wrong": "import nothing_of_this_name"}, 2), ({"light": "def test(): pass"}, 5)]
)
def test_nothing_is_tried_again_where_no_test_failed(heavy, files, expected):
    """Collection errors; nothing to run."""
    code, _, starts = heavy(**files)

    assert (code, starts) == (expected, 1)
