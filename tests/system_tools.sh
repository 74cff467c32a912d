#!/usr/bin/env bash
# Install what lets more tests run (h5dump, strace), where that is allowed; otherwise say which tests will be skipped.
set -u
missing=()
command -v h5dump >/dev/null || missing+=(hdf5-tools)
command -v strace >/dev/null || missing+=(strace)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${missing[*]} for the tests"
  if ! { DEBIAN_FRONTEND=noninteractive apt-get install -y -q "${missing[@]}" ||
         { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q "${missing[@]}"; }; } >/dev/null 2>&1; then
    echo "SKIPPED TESTS: could not install ${missing[*]}; the tests that need them will be skipped"
  fi
else
  echo "SKIPPED TESTS: ${missing[*]} not installed; run 'sudo apt-get install ${missing[*]}' to let them run"
fi
exit 0
