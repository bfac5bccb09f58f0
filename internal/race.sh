#!/usr/bin/env bash
# go test -race of the packages named. The detector itself crashes now and then under
# testing/synctest ("ThreadSanitizer: CHECK failed", golang/go#78156): a package that
# fails of that, and of nothing else, has one more try.
set -uo pipefail
out=$(mktemp)
trap 'rm -f "$out"' EXIT
go test -race "$@" 2>&1 | tee "$out" && exit 0
if grep -qE '^ *--- FAIL|DATA RACE|^panic:|build failed' "$out" || ! grep -q 'ThreadSanitizer: CHECK failed' "$out"; then
  exit 1
fi
crashed=$(awk '$1 == "FAIL" && NF > 1 {print $2}' "$out")
echo "The race detector crashed. Again: $crashed"
go test -race $crashed
