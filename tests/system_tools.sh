#!/usr/bin/env bash
# Install what lets more tests run, where that is allowed: h5dump, strace, a SLURM, Open MPI. Where it is not, say
# which tests will be skipped. Nothing is configured: tests start a SLURM of their own (slurm/devcluster).
set -u
declare -A package=(
  [h5dump]=hdf5-tools [strace]=strace
  [slurmctld]=slurm-wlm [slurmdbd]=slurmdbd [munged]=munge [mariadbd]=mariadb-server
  [mpirun.openmpi]=openmpi-bin
)
missing() {
  local program
  for program in h5dump strace slurmctld slurmdbd munged mariadbd mpirun.openmpi; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || echo "${package[$program]}"
  done
}
install() {
  # Some of these packages start a service when installed. The tests do not need it and it does not disturb them.
  export DEBIAN_FRONTEND=noninteractive
  local apt="apt-get -q -o DPkg::Lock::Timeout=300"
  $apt update && $apt install -y --no-install-recommends "$@"
}

[ "$(id -u)" -ne 0 ] && echo "SKIPPED TESTS: those on a real SLURM need root, for example 'sudo make test'"
wanted=$(missing | tr '\n' ' ')
[ -z "$wanted" ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "SKIPPED TESTS: not installed: $wanted; run 'sudo apt-get install $wanted' to let their tests run"
elif ! command -v apt-get >/dev/null; then
  echo "SKIPPED TESTS: not installed: $wanted; there is no apt-get here to install them with"
else
  echo "installing for the tests: $wanted"
  log=$(mktemp)
  install $wanted >"$log" 2>&1 || tail -5 "$log"
  rm -f "$log"
  still=$(missing | tr '\n' ' ')
  [ -n "$still" ] && echo "SKIPPED TESTS: could not install $still; the tests that need them will be skipped"
fi
exit 0
