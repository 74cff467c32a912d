"""The list of planted bugs stays usable: `python -m tests.planted_bugs` runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

import lthsweep
from tests.planted_bugs.bugs import BUGS

PACKAGE = Path(lthsweep.__file__).parent


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted(bug):
    """Code that moved on would make the bug a replacement of nothing, which no test could notice."""
    source = (PACKAGE / bug.file).read_text(encoding="utf-8")

    assert source.count(bug.right) == 1
    assert bug.wrong != bug.right
    compile(source.replace(bug.right, bug.wrong), bug.file, "exec")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_tests_of_a_bug_exist(bug):
    """A renamed test file would end pytest before it judges anything."""
    assert all((PACKAGE.parent / path.split("::")[0]).exists() for path in bug.tests.split())
