#!/usr/bin/env bash
# Runs what `cargo xtask gpu-pack` packed, on a machine with a GPU, from the root of a checkout:
#
#   .gpu-pack/run.sh PHASE [FILTER] ...
#
# Phases, in the order given; a word that is no phase is the filter of the phase before it:
#   info        the GPU, the driver, the tools, `pelton info`
#   test        all test binaries; a test that needs a GPU may not skip
#   sanitize    the same binaries, small, under compute-sanitizer (SANITIZER_TOOL, default memcheck)
#   bench       the criterion binaries; the filter is criterion's
#   quickstart  `pelton quickstart` in an empty folder
#
# One line of verdict per phase; logs in $OUT (default .gpu-pack/out). Fails if a phase failed.
set -uo pipefail

built_at='@ROOT@'
digest='@DIGEST@'
pack=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(dirname "$pack")
logs=${OUT:-$pack/out}
seconds_max=${GPU_BINARY_SECONDS:-500}
here=/tmp/pelton-gpu-$digest
mkdir -p "$logs" || exit 1

if [ ! -e "$here/unpacked" ]; then
  mkdir -p "$here"
  if command -v xz >/dev/null; then
    xz --decompress --stdout "$pack/pack.tar.xz"
  else
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' \
      "$pack/pack.tar.xz"
  fi | tar --extract --directory "$here" || { echo "run.sh: cannot unpack"; exit 1; }
  touch "$here/unpacked"
fi

# Some binaries hold the path that they were built at.
if [ ! -e "$built_at" ] || [ -L "$built_at" ]; then
  mkdir -p "$(dirname "$built_at")" && ln -sfn "$checkout" "$built_at"
fi
# Folders of --with lie where they lay, seen from the checkout.
while IFS=$'\t' read -r index place; do
  [ -e "$checkout/$place" ] && [ ! -L "$checkout/$place" ] && continue
  mkdir -p "$(dirname "$checkout/$place")" && ln -sfn "$here/with/$index" "$checkout/$place"
done <"$here/with.txt"

for library in /usr/local/cuda/lib64 /usr/local/nvidia/lib64; do
  [ -d "$library" ] && LD_LIBRARY_PATH=$library${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-} PATH=$here:$PATH:/usr/local/cuda/bin RUST_BACKTRACE=1

# for_each KIND LOG COMMAND...: calls COMMAND with each binary of KIND appended, in its package's
# folder. Sets `failed` to the names of those that failed, `count` to how many ran.
for_each() {
  local kind=$1 log=$2 name folder its_kind code
  shift 2
  failed='' count=0
  while IFS=$'\t' read -r its_kind name folder; do
    [ "$its_kind" = "$kind" ] || continue
    count=$((count + 1))
    echo "=== $kind $name" >>"$log"
    (cd "$checkout/$folder" && CARGO_MANIFEST_DIR=$PWD "$@" "$here/$kind/$name") >>"$log" 2>&1 </dev/null
    code=$?
    if [ $code -ne 0 ]; then
      failed="$failed $name($code)"
      echo "--- $kind $name: exit code $code"
      tail -n 40 "$log"
    fi
  done <"$here/binaries.txt"
}

run_binary() { # FILTER BINARY
  timeout "$seconds_max" "$2" ${1:+"$1"}
}

sanitize_binary() { # FILTER BINARY
  timeout "$seconds_max" compute-sanitizer --tool "${SANITIZER_TOOL:-memcheck}" \
    --error-exitcode 99 --require-cuda-init=no "$2" ${1:+"$1"}
}

bench_binary() { # FILTER BINARY
  timeout "$seconds_max" "$2" --bench ${1:+"$1"}
}

tests_in() { # LOG
  awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
       END { printf "%d passed, %d failed, %d ignored", passed, failed, ignored }' "$1"
}

phase_info() {
  {
    nvidia-smi
    nvcc --version
    compute-sanitizer --version
    lscpu
    free -g
  } >"$1" 2>&1
  "$here/pelton" info >>"$1" 2>&1 </dev/null || failed=" pelton-info"
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || failed="$failed nvidia-smi"
  detail="see $1"
}

phase_test() {
  export PELTON_REQUIRE_GPU=1
  for_each test "$1" run_binary "$2"
  detail="$count binaries, $(tests_in "$1")"
}

phase_sanitize() {
  command -v compute-sanitizer >/dev/null || { failed=' no-compute-sanitizer' && return; }
  export PELTON_REQUIRE_GPU=1 PELTON_CASES="${PELTON_CASES:-4}"
  for_each test "$1" sanitize_binary "$2"
  detail="$count binaries, $(tests_in "$1")"
}

phase_bench() {
  export CRITERION_HOME=$here/criterion
  for_each bench "$1" bench_binary "$2"
  [ -d "$CRITERION_HOME" ] && tar --create --gzip --file "$logs/criterion.tar.gz" \
    --directory "$CRITERION_HOME" --exclude='*.svg' --exclude='*.html' .
  detail="$count binaries, $(grep -c 'time: ' "$1") measurements"
  grep -B1 -A1 'time: ' "$1" | grep -v '^--$'
}

phase_quickstart() {
  local folder
  folder=$(mktemp -d)
  (cd "$folder" && timeout "$seconds_max" "$here/pelton" quickstart) >"$1" 2>&1 </dev/null || failed=" pelton"
  tail -n 20 "$1"
  detail="see $1"
}

phases=' info test sanitize bench quickstart '
[ $# -gt 0 ] || set -- info test
verdict=0
while [ $# -gt 0 ]; do
  phase=$1 filter=''
  shift
  case $phases in *" $phase "*) ;; *) echo "run.sh: no phase '$phase':$phases"; exit 2 ;; esac
  if [ $# -gt 0 ] && [[ $phases != *" $1 "* ]]; then
    filter=$1
    shift
  fi
  failed='' detail='' count=0 SECONDS=0 log=$logs/$phase.log
  : >"$log"
  "phase_$phase" "$log" "$filter"
  if [ -z "$failed" ]; then
    echo "$phase: ok ($detail, $SECONDS s)"
  else
    echo "$phase: FAILED:$failed ($detail, $SECONDS s)"
    verdict=1
  fi
done
exit $verdict
