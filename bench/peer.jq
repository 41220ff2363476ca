# peer.jq - the lines of bench/peer.sh as tables in Markdown, and as the figures of the plot.

# ---- cases: one for each work and type ----

def middle: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
def spread: {middle: middle, least: min, most: max};

# For the plot: the highest limits that were seen, in FLOP/s, since work of others only makes a machine slower.
def limits: map(.peak_gflops // {} | to_entries[]) | group_by(.key) | map(max_by(.value) | .value *= 1e9) | from_entries;

def figures(who): map(select(.who == who)) | select(length > 0) | {
    speed: map(.tokens_per_second) | spread,
    of_limit: (map(select(.peak_gflops) | .tokens_per_second * .flops_per_token / 1e7 / .peak_gflops[.dtype])
        | if . == [] then null else spread end), # per cent of the peak that the same process saw
    memory: map(.peak_memory_bytes / 1e6) | middle,
    start: map(.start_seconds) | middle,
    begin: (map(.begin_seconds) | if all then middle else null end) };

# How many times as fast as the peer, for each round that has both.
def ratios: group_by(.round) | map(map({key: .who, value: .tokens_per_second}) | from_entries
    | select(.libpeft and .PEFT) | .libpeft / .PEFT);

def case($limits): .[0] as $first | map(select(.who == "libpeft"))[0] as $ours | {
    name: "\($first.model), \($first.work)",
    model: $first.model, work: $first.work, dtype: $first.dtype,
    ragged: ($ours.data != "full batches"),
    limit: ($limits[$first.dtype] / $ours.flops_per_token),
    rounds: ratios | length,
    faster: ratios | spread,
    libpeft: figures("libpeft"), PEFT: figures("PEFT"), again: (figures("layers again") // null) };

# In the order in which the works came.
def cases: limits as $limits | map(select(.work)) | to_entries | group_by(.value | [.model, .work, .dtype])
    | sort_by(.[0].key) | map(map(.value) | select(ratios != []) | case($limits));

# ---- tables ----

def digits($n): pow(10; $n) as $unit | . * $unit | round / $unit;
def show($n): "\(.middle | digits($n)) (\(.least | digits($n))–\(.most | digits($n)))";
def goal($text; met): "\($text), \(if met then "met" else "missed" end)";
def row: "| \(join(" | ")) |";
def table(head; rows): (head | row, (map("---") | row)), (.[] | rows | row), "";

def speed_row: {f32: 6, bf16: 4}[.dtype] as $times
    | [.name, .dtype, (.libpeft.speed | show(0)), (.PEFT.speed | show(0)), "\(.faster | show(2)) x",
       if .ragged then goal("≥ \($times) x"; .faster.middle >= $times) else "–" end, "\(.libpeft.of_limit | show(0)) %",
       if .ragged then "–" else goal("≥ 80 %"; .libpeft.of_limit.middle >= 80) end];

def share($of; $times): if . then ($of / .memory) as $less
    | "\(.memory | round)", "1/\($less | digits(1))", goal("≤ 1/\($times)"; $less >= $times) else "–", "–", "–" end;
def memory_row: .PEFT.memory as $of
    | [.name, .dtype, "\($of | round)", (.libpeft | share($of; 3)), (.again | share($of; 6))];

def start_row: select(.model == "MiniLM")
    | [.name, .dtype, "\(.libpeft.begin | digits(2))", goal("< 0.3 s"; .libpeft.begin < 0.3), "\(.libpeft.start | digits(2))",
       "\(.PEFT.start | digits(1))"];

def machine($rounds): (limits | map_values(. / 1e9 | round)) as $limits | .[0].settings
    | "\(.cpu), \(.threads) threads; \(.libpeft); \(.PEFT).",
      "Highest limits that were seen: \($limits.f32) GFLOP/s in f32, \($limits.bf16) GFLOP/s in bf16.",
      "Medians over the rounds (\($rounds)), in brackets their range.", "";

def tables: cases as $cases | machine($cases | map(.rounds) | min), ($cases
    | table(["work", "type", "libpeft tok/s", "PEFT tok/s", "speed", "goal", "of the limit", "goal"]; speed_row),
      table(["work", "type", "PEFT MB", "libpeft MB", "share", "goal", "layers again MB", "share", "goal"]; memory_row),
      table(["first step", "type", "libpeft begins after s", "goal", "ends after s", "PEFT ends after s"]; start_row)),
    "![tokens per second of both, in f32 and bf16, and what the machine can do at most](pictures/peer.svg)";

# ---- plot ----

# A block for each model, a line for each work: its types beside each other.
def plot: cases | group_by(.model)[] | (group_by(.work)[]
    | "\"\(.[0].work)\" " + ([("f32", "bf16") as $dtype | .[] | select(.dtype == $dtype)
        | .libpeft.speed.middle, .PEFT.speed.middle, .limit] | join(" "))), "\n";
