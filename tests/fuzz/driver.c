/* Runs a harness over changed seeds: `fuzz_json [rounds [first]]` runs that many inputs, from number `first` on. What
 * made a crash is the number printed last; `fuzz_json 1 NUMBER` repeats it alone. */
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_ROUNDS = 20000, MAX_CHANGES = 4, MAX_SIZE = 1 << 12 };

typedef struct input {
    uint8_t bytes[MAX_SIZE];
    size_t size;
} input;

static volatile uint64_t current;

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

static size_t below(uint64_t *state, size_t limit)
{
    return (size_t)(next(state) % limit);
}

/* Replaces `removed` bytes at `at` by these. */
static void replace(input *in, size_t at, size_t removed, const void *bytes, size_t size)
{
    if (in->size - removed + size > MAX_SIZE) return;
    memmove(in->bytes + at + size, in->bytes + at + removed, in->size - at - removed);
    memcpy(in->bytes + at, bytes, size);
    in->size += size - removed;
}

static void change_bit(input *in, uint64_t *state)
{
    in->bytes[below(state, in->size)] ^= (uint8_t)(1 << below(state, 8));
}

static void change_byte(input *in, uint64_t *state)
{
    in->bytes[below(state, in->size)] = (uint8_t)next(state);
}

static void cut_end(input *in, uint64_t *state)
{
    in->size = below(state, in->size);
}

static void remove_part(input *in, uint64_t *state)
{
    size_t at = below(state, in->size);
    replace(in, at, 1 + below(state, in->size - at), "", 0);
}

static void repeat_part(input *in, uint64_t *state)
{
    uint8_t part[64];
    size_t at = below(state, in->size), size = 1 + below(state, in->size - at);
    if (size > sizeof part) size = sizeof part;
    memcpy(part, in->bytes + at, size);
    replace(in, below(state, in->size), 0, part, size);
}

/* Words that mean something to one of the readers. */
static void insert_word(input *in, uint64_t *state)
{
    static const char *const words[] = {
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\u0000",
        "\\ud800",
        " ",
        "\n",
        "\t",
        "-",
        "? ",
        "&a ",
        "*a",
        "!t ",
        "---\n",
        "#",
        "0",
        "-1",
        "1.5",
        "1e999",
        "9223372036854775807",
        "9223372036854775808",
        "null",
        "true",
        ".inf",
        "0x",
        "\xff",
        "\xed\xa0\x80",
        "\"__metadata__\":",
        "\"dtype\":",
        "\"shape\":",
        "\"data_offsets\":",
        "\"F32\"",
        "\"I8\"",
    };
    const char *word = words[below(state, sizeof words / sizeof words[0])];
    replace(in, below(state, in->size + 1), 0, word, strlen(word));
}

static void change_digit(input *in, uint64_t *state)
{
    size_t start = below(state, in->size);
    for (size_t i = 0; i < in->size; i++) {
        uint8_t *byte = &in->bytes[(start + i) % in->size];
        if (*byte < '0' || *byte > '9') continue;
        *byte = (uint8_t)('0' + below(state, 10));
        return;
    }
}

/* The length at the start of a safetensors file made to fit again, so that what is behind it is reached. */
static void repair_length(input *in, uint64_t *state)
{
    if (in->size < 8) return;
    uint64_t length = in->size - 8 - below(state, 1 + (in->size - 8) / 4);
    for (int i = 0; i < 8; i++) in->bytes[i] = (uint8_t)(length >> 8 * i);
}

static void (*const changes[])(input *, uint64_t *) = {
    change_bit, change_byte, cut_end, remove_part, repeat_part, insert_word, change_digit, repair_length,
};

static size_t num_seeds(void)
{
    size_t count = 0;
    while (fuzz_seeds[count].size) count++;
    return count;
}

static void make_input(input *in, uint64_t number)
{
    uint64_t state = number;
    const fuzz_seed *seed = &fuzz_seeds[number % num_seeds()];
    in->size = seed->size;
    memcpy(in->bytes, seed->bytes, seed->size);
    for (size_t i = below(&state, MAX_CHANGES + 1); i > 0 && in->size > 0; i--)
        changes[below(&state, sizeof changes / sizeof changes[0])](in, &state);
}

/* Each input lies in memory of exactly its size, so that a sanitizer sees a read beyond it. */
static void run(const void *bytes, size_t size)
{
    uint8_t *exact = malloc(size + !size);
    FUZZ_CHECK(exact != NULL);
    memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void report(int signal_number)
{
    char text[64];
    int length = snprintf(text, sizeof text, "input %" PRIu64 "\n", current);
    if (write(STDERR_FILENO, text, (size_t)length) == length) signal(signal_number, SIG_DFL);
    raise(signal_number);
}

int main(int argc, char **argv)
{
    static input in;
    uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_ROUNDS;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    signal(SIGABRT, report);
    for (size_t i = 0; i < num_seeds(); i++) run(fuzz_seeds[i].bytes, fuzz_seeds[i].size);
    FUZZ_CHECK(fuzz_accepted == num_seeds());
    for (current = first; current < first + rounds; current++) {
        make_input(&in, current);
        run(in.bytes, in.size);
    }
    printf("%" PRIu64 " inputs, %zu accepted\n", rounds, fuzz_accepted - num_seeds());
    return 0;
}
