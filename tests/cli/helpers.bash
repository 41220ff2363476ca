# What the tests of the command share. PEFT is the program under test; meson sets it.
# shellcheck disable=SC2154 # bats sets status, output and stderr
bats_require_minimum_version 1.5.0

# Results and messages apart, in $output and $stderr; the exit code in $status.
peft() {
    run --separate-stderr "$PEFT" "$@"
}

# fails CODE MESSAGE: the exit code, nothing on stdout, and one line on stderr that holds the message.
fails() {
    [ "$status" -eq "$1" ] || { echo "exit code $status, expected $1"; return 1; }
    [ -z "$output" ] || { echo "stdout: $output"; return 1; }
    [ "${#stderr_lines[@]}" -eq 1 ] || { echo "stderr: $stderr"; return 1; }
    [[ "$stderr" == "peft: "*"$2"* ]] || { echo "stderr: $stderr"; return 1; }
}
