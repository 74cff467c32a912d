"""tests/heavy.sh (`make test-heavy`, `make test-faults`) repeats a failed test once; it counts if it fails again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch.processes import PATIENCE

pytestmark = pytest.mark.slow

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
    """Runs the script in a folder with some tests; returns exit code, output, and the number of pytest runs."""

    def run(marker="heavy", **files):
        (tmp_path / "pytest.ini").write_text(
            "[pytest]\nmarkers =\n  heavy\n  faults\naddopts = -p xdist.plugin -n auto -q\n"
        )
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        (tmp_path / "conftest.py").write_text(
            "def pytest_sessionstart():\n    with open('starts', 'a') as file:\n        file.write('.')\n"
        )
        ended = subprocess.run(
            ["bash", str(HEAVY), sys.executable, marker],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # starts in half the time
        )
        return ended.returncode, ended.stdout + ended.stderr, len((tmp_path / "starts").read_text())

    return run


def test_passed_tests_run_once(heavy):
    code, output, starts = heavy(fine=PASSES)

    assert (code, starts) == (0, 1)
    assert "####" not in output


def test_a_failed_test_is_repeated_alone(heavy):
    """The second of the two tests passes at the first attempt and would fail at a second one."""
    code, output, starts = heavy(hiccups=HICCUPS, fine=PASSES)

    assert (code, starts) == (0, 2)
    assert "#### test-heavy: FAILED; NOW RUN ONCE MORE, ALONE:\ntest_hiccups.py::test_hiccup[1]\n" in output
    assert "#### test-heavy: PASSED, BUT ONLY AT THE SECOND ATTEMPT" in output


def test_two_failures_fail_the_run(heavy):
    code, output, starts = heavy(hiccups=HICCUPS, broken=FAILS)

    assert (code, starts) == (1, 2)
    assert "#### test-heavy: FAILED TWICE, OR NOT RUN AGAIN:\ntest_broken.py::test_broken\n" in output


def test_a_failed_test_that_disappears_fails_the_run(heavy):
    """Of three tests the second and third fail; then only two exist, and pass."""
    code, output, starts = heavy(vanishes=VANISHES)

    assert (code, starts) == (1, 2)
    assert "FAILED TWICE, OR NOT RUN AGAIN:\ntest_vanishes.py::test_one_of_several[3]\n" in output


@pytest.mark.parametrize(
    ("files", "expected"), [({"wrong": "import nothing_of_this_name"}, 2), ({"light": "def test(): pass"}, 5)]
)
def test_other_errors_are_not_repeated(heavy, files, expected):
    """A collection error, and an empty selection."""
    code, _, starts = heavy(**files)

    assert (code, starts) == (expected, 1)


def test_an_empty_selection_of_faults_fails(heavy):
    """A lost marker must not pass as a success."""
    code, _, starts = heavy(marker="faults", fine=PASSES)

    assert (code, starts) == (5, 1)
