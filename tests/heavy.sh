#!/usr/bin/env bash
# Run the tests with a marker one after the other, then repeat the failed ones once: tests/heavy.sh PYTHON [MARKER]
#
# MARKER is heavy (default) or faults. The tests start and kill dozens of daemons. On a busy machine a daemon can be too late
# for a test although nothing is broken; a real error fails twice. The first failure stays in the output.
# Exit code: of the first run unless it is 1 (0: all passed; others: collection errors, no tests, Ctrl-C); otherwise 0 if
# every failed test passes at its second attempt.
set -uo pipefail
python=${1:?usage: tests/heavy.sh PYTHON [MARKER]}
marker=${2:-heavy}
cache=.pytest_cache/$marker # a separate cache: failures of other runs are not repeated
tests=("$python" -m pytest -q -n 0 -rs -m "$marker" -o "cache_dir=$cache")

report() {
  printf '\n################################ test-%s: %s\n' "$marker" "$1"
  shift
  [ $# -eq 0 ] || printf '%s\n' "$@"
}
failed() { # node ids, one per line
  "$python" -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' "$cache/v/cache/lastfailed"
}

"${tests[@]}" --cache-clear
code=$?
[ $code -eq 1 ] || exit $code # 1: some tests failed

again=$(failed) && [ -n "$again" ] || exit $code # without a list of failures nothing can be repeated
report "FAILED; NOW RUN ONCE MORE, ALONE:" "$again"
# Tests that could run a moment ago must not be skipped now.
LTHSWEEP_REQUIRE_SLURM=1 "${tests[@]}" --last-failed --last-failed-no-failures none
code=$?
left=$(failed) || exit 1
if [ $code -eq 0 ] && [ -z "$left" ]; then
  report "PASSED, BUT ONLY AT THE SECOND ATTEMPT; a test that is often listed here is broken:" "$again"
  exit 0
fi
report "FAILED TWICE, OR NOT RUN AGAIN:" "$left"
[ $code -ne 0 ] || code=1
exit $code
