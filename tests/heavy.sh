#!/usr/bin/env bash
# Run the tests marked heavy, one after the other, then those that failed once more, alone: tests/heavy.sh PYTHON
#
# They start and kill dozens of daemons. On a machine that does other work one of these is now and then too late for a
# test, though nothing is broken; what is broken fails twice. The first failure stays in the output, in full.
# Exit code: that of the first run unless it is 1 (all passed; or collection errors, nothing to run, Ctrl-C), else 0 if
# every single test that had failed passes now.
set -uo pipefail
python=${1:?usage: tests/heavy.sh PYTHON}
cache=.pytest_cache/heavy # of its own: what failed in other runs is not asked for
heavy=("$python" -m pytest -n 0 -rs -m heavy -o "cache_dir=$cache")

say() {
  printf '\n################################ test-heavy: %s\n' "$1"
  shift
  [ $# -eq 0 ] || printf '%s\n' "$@"
}
failed() { # node ids, one per line
  "$python" -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' "$cache/v/cache/lastfailed"
}

"${heavy[@]}" --cache-clear
code=$?
[ $code -eq 1 ] || exit $code # 1: tests were run, and some failed

again=$(failed) && [ -n "$again" ] || exit $code # what failed is not on record, so it cannot be tried again
say "FAILED; NOW RUN ONCE MORE, ALONE:" "$again"
# Nothing may be skipped that could be run a moment ago.
LTHSWEEP_REQUIRE_SLURM=1 "${heavy[@]}" --last-failed --last-failed-no-failures none
code=$?
left=$(failed) || exit 1
if [ $code -eq 0 ] && [ -z "$left" ]; then
  say "PASSED, BUT ONLY AT THE SECOND ATTEMPT; if one of these is often here, it is broken:" "$again"
  exit 0
fi
say "FAILED TWICE, OR NOT RUN AGAIN:" "$left"
[ $code -ne 0 ] || code=1
exit $code
