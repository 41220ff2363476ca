#!/usr/bin/env bash
# Fills the disk at every place of a run: the same command on disks (tmpfs) of growing size. Each time it ends with exit
# code 1 and a line that says so, or is done; what was there before stays as it was; with more room --resume comes to the
# same bits.
#
#     tests/reliability/disk.sh PROGRAM [STEP_KB [MOST_KB]]
unshare -rm true 2> /dev/null || { echo "skipped: no mounts of one's own here"; exit 77; }
[ -n "${IN_OWN_MOUNTS:-}" ] || IN_OWN_MOUNTS=1 exec unshare -rm "$0" "$@"
# shellcheck source=tests/reliability/tiny.sh
. "$(dirname "$0")/tiny.sh"
step=${2:-4} most=${3:-400}
train=(train "${data[@]}" --batch-size 8 --steps 6 --checkpoint-every 1 --eval-every 2 --threads 1 --quiet)
full=("${train[@]}" --variant full)
merge=(merge --model model --adapter old --quiet)
"$peft" "${train[@]}" --seed 1 --output old > /dev/null
"$peft" "${train[@]}" --output whole > /dev/null
"$peft" "${full[@]}" --output whole-model > /dev/null
"$peft" "${merge[@]}" --output merged > /dev/null

limits=0 refused=0 bad=0
complain() {
    echo "$*"
    bad=$((bad + 1))
}

# on_disk KB COMMAND...: runs it with disk/ of that size; true where it was done, else it has to say why it was not
on_disk() {
    local code=0
    mkdir -p disk
    mount -t tmpfs -o "size=${1}k" none disk
    limits=$((limits + 1))
    "$peft" "${@:2}" > /dev/null 2> messages || code=$?
    [ $code -ne 0 ] || return 0
    refused=$((refused + 1))
    [ $code -eq 1 ] && [ "$(grep -c . messages)" -eq 1 ] && grep -q 'there is no space for it' messages ||
        complain "$1 kB, $2: exit code $code: $(cat messages)"
    [ -z "$(find disk -name '.peft-*')" ] || complain "$1 kB, $2: temporary files are left"
    return 1
}

for ((kb = step; kb <= most; kb += step)); do
    # a new run, which goes on when there is room
    if ! on_disk $kb "${train[@]}" --output disk/run; then
        [ ! -e disk/run/run.json ] || complain "$kb kB: a run that failed looks finished"
        mount -o remount,size=8m disk
        "$peft" "${train[@]}" --output disk/run --resume > /dev/null || complain "$kb kB: cannot be resumed"
    fi
    same_run whole disk/run || complain "$kb kB: a resumed run has other bits"
    umount -l disk
    # a whole model, trained and merged: there at once or not at all
    if ! on_disk $kb "${full[@]}" --output disk/model; then
        mount -o remount,size=8m disk
        "$peft" "${full[@]}" --output disk/model --resume > /dev/null || complain "$kb kB: cannot be resumed"
    fi
    cmp -s whole-model/model.safetensors disk/model/model.safetensors || complain "$kb kB: another model"
    umount -l disk
    if on_disk $kb "${merge[@]}" --output disk/merged; then
        cmp -s merged/model.safetensors disk/merged/model.safetensors || complain "$kb kB: another merged model"
    else
        [ ! -e disk/merged/config.json ] || complain "$kb kB: half of a model looks whole"
    fi
    umount -l disk
done

# a file beyond its limit (ulimit), with an old run to be started anew: its adapter stays until the new one is whole
for ((kb = 1; kb <= most / 4; kb++)); do
    rm -rf again
    cp -r old again
    limits=$((limits + 1))
    code=0
    (ulimit -f $kb && exec "$peft" "${train[@]}" --output again --force > /dev/null 2> messages) || code=$?
    if [ $code -ne 0 ]; then
        refused=$((refused + 1))
        [ $code -eq 1 ] && grep -q 'there is no space for it' messages || complain "ulimit $kb: exit code $code: $(cat messages)"
        cmp -s old/adapter_model.safetensors again/adapter_model.safetensors || complain "ulimit $kb: the old adapter is gone"
        "$peft" "${train[@]}" --output again --resume > /dev/null || complain "ulimit $kb: cannot be resumed"
    fi
    same_run whole again || complain "ulimit $kb: other bits"
done
echo "disk: $limits limits, $refused refusals, $bad faults"
[ $bad -eq 0 ]
