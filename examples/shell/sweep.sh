#!/usr/bin/env bash
# Recording from a shell: any program in any language can be what trains. Here awk is.
set -euo pipefail

# One JSON line a step: the loss of a made-up training with a learning rate of $1.
train() {
    awk -v lr="$1" 'BEGIN {
        for (step = 1; step <= 20; step++)
            printf "{\"step\": %d, \"loss\": %.6f}\n", step, 0.1 + 2 * exp(-lr * step) + lr * lr
    }'
}

# 1. A run in one call, once all is known.
gxt log -e sweep -n baseline -p model=constant -m loss=2.1 -t stage=baseline --note "What guessing gives."

# 2. A run for each learning rate, its points recorded as they come through the pipe.
for lr in 0.05 0.2 0.8; do
    train "$lr" | gxt log -e sweep -n "lr-$lr" -p lr="$lr" -
done

# 3. A run that several commands write to; it is over when `gxt finish` says so.
id=$(gxt start -e sweep -n by-hand -p lr=0.1)
trap 'gxt finish "$id" --status failed' ERR
for step in 1 2 3; do
    gxt log --run "$id" -m loss="0.$((9 - step))" --step "$step"
done
train 0.1 >history.jsonl
gxt log --run "$id" -a history.jsonl
rm history.jsonl
gxt finish "$id"

gxt table sweep --sort loss
