#!/bin/sh
# An administrator's steps, against a running cluster: define a CallManager group, its members and their order, assign it to a device pool,
# and watch the devices follow; then give the members another order, kill the first of them, and take it all back.
#
#     examples/define-a-group.sh [TANDEM]
#
# TANDEM is the program, target/release/tandem if none is named. A cluster of its own is started and ended, with simulated phones over SIP
# on loopback. It ends with 0 when every step was seen.
set -eu

tandem=${1:-target/release/tandem}
home=$(mktemp -d)
"$tandem" --state "$home" quickstart --devices 80 >"$home/log" 2>&1 &
cluster=$!
trap 'kill -INT $cluster 2>/dev/null; wait $cluster || true; rm -rf "$home"' EXIT

run() { # shows a command and runs it
    printf '\n$ tandem %s\n' "$*"
    "$tandem" --state "$home" "$@"
}
at() { # how many devices of pool $1 node $2 serves
    "$tandem" --state "$home" device list --pool "$1" --node "$2" -o json 2>/dev/null | grep -o '"name":' | wc -l
}
until_at() { # waits until node $2 serves $3 devices of pool $1
    tries=0
    until [ "$(at "$1" "$2")" -eq "$3" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ]; then
            echo "after 60 s $2 serves $(at "$1" "$2") devices of $1, not $3"
            tail -5 "$home/log"
            exit 1
        fi
        sleep 0.2
    done
    echo "  -> $2 serves $3 devices of $1"
}

echo "30 devices of pool DP2 belong to group G2 (CCM1, CCM3, CCM2):"
until_at DP2 CCM1 30
run group add Evening --members CCM3,CCM2,CCM1 -m "who answers in the evening"
run pool update DP2 --group Evening --dry-run
run pool update DP2 --group Evening -m "the hall belongs to the evening"
until_at DP2 CCM3 30
run group update Evening --members CCM2,CCM3,CCM1 -m "CCM2 first"
until_at DP2 CCM2 30
run node kill CCM2
until_at DP2 CCM3 30
run node start CCM2
until_at DP2 CCM2 30
run config history
run pool update DP2 --group G2 -m "as it was"
until_at DP2 CCM1 30
run group delete Evening
run status
echo
echo "every device followed, at every step"
