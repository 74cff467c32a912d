#!/usr/bin/env bash
# Install programs that let more tests run: h5dump, strace, chromium, SLURM, Open MPI. Reports which tests are skipped
# because a program, a permission or data is missing. Nothing is configured: tests start a SLURM with slurm/devcluster.
set -u
declare -A package=(
  [h5dump]=hdf5-tools [strace]=strace [chromium]=chromium
  [slurmctld]=slurm-wlm [slurmdbd]=slurmdbd [munged]=munge [mariadbd]=mariadb-server
  [mpirun.openmpi]=openmpi-bin
)
declare -A tests=(
  [hdf5-tools]="h5dump on records" [strace]="injected faults" [chromium]="the page of the report in a browser"
  [slurm-wlm]="a real SLURM" [slurmdbd]="a real SLURM" [munge]="a real SLURM" [mariadb-server]="a real SLURM"
  [openmpi-bin]="Open MPI"
)
missing() {
  local program
  for program in h5dump strace chromium slurmctld slurmdbd munged mariadbd mpirun.openmpi; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || echo "${package[$program]}"
  done
}
install() {
  # Some of these packages start a service when installed. The tests do not use it, and it does not disturb them.
  export DEBIAN_FRONTEND=noninteractive
  local apt="apt-get -q -o DPkg::Lock::Timeout=300"
  $apt update && $apt install -y --no-install-recommends "$@"
}
skipped() { printf '\n######## SKIPPED TESTS: %s\n' "$1"; }

[ "$(id -u)" -ne 0 ] && skipped "a real SLURM needs root, for example 'sudo make test'"
[ -z "${LTHSWEEP_DATA:-}" ] && skipped "real MNIST and CIFAR-10; set LTHSWEEP_DATA to the folder that has them"
wanted=$(missing | tr '\n' ' ')
[ -z "$wanted" ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
  reason="not installed; run 'sudo apt-get install $wanted'"
elif ! command -v apt-get >/dev/null; then
  reason="not installed, and there is no apt-get here"
else
  echo "installing for the tests: $wanted"
  log=$(mktemp)
  install $wanted >"$log" 2>&1 || tail -5 "$log"
  rm -f "$log"
  reason="could not be installed"
fi
for name in $(missing); do skipped "${tests[$name]}: $name $reason"; done
exit 0
