/* Runs a harness over its corpus and over changed inputs: `fuzz_json CORPUS DICTIONARY ROUNDS [FIRST]` makes so many,
 * from number FIRST on. What made a crash is the file or number printed last; `fuzz_json CORPUS DICTIONARY 1 NUMBER`
 * repeats a number alone, and CORPUS may be a single file. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_CHANGES = 4, MAX_SIZE = 1 << 16, MAX_WORDS = 512, MAX_WORD = 128 };

typedef struct seed {
    char *name;
    uint8_t *bytes;
    size_t size;
} seed;

typedef struct word {
    char bytes[MAX_WORD];
    size_t size;
} word;

typedef struct input {
    uint8_t bytes[MAX_SIZE];
    size_t size;
} input;

static seed *seeds;
static size_t num_seeds;
static word words[MAX_WORDS];
static size_t num_words;

static const char *current_name;
static volatile uint64_t current;

/* ---- corpus and dictionary ---- */

static void add_seed(const char *path)
{
    struct stat info;
    FILE *file = fopen(path, "rb");
    FUZZ_CHECK(file && fstat(fileno(file), &info) == 0 && info.st_size <= MAX_SIZE);
    seeds = realloc(seeds, (num_seeds + 1) * sizeof *seeds);
    FUZZ_CHECK(seeds != NULL);
    const char *slash = strrchr(path, '/');
    size_t size = (size_t)info.st_size;
    seed *s = &seeds[num_seeds++];
    *s = (seed){strdup(slash ? slash + 1 : path), malloc(size + 1), size};
    FUZZ_CHECK(s->name && s->bytes && fread(s->bytes, 1, size, file) == size);
    fclose(file);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of their names, so that a number means the same input everywhere. */
static void read_corpus(const char *path)
{
    struct stat info;
    FUZZ_CHECK(stat(path, &info) == 0);
    if (!S_ISDIR(info.st_mode)) {
        add_seed(path);
        return;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, visible, alphasort);
    FUZZ_CHECK(count > 0);
    for (int i = 0; i < count; i++) {
        char name[4096];
        FUZZ_CHECK(snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name) < (int)sizeof name);
        add_seed(name);
        free(entries[i]);
    }
    free(entries);
}

/* One character of a word in libFuzzer's dictionaries: itself, or \\ \" \xAB. */
static const char *read_letter(const char *at, word *w)
{
    FUZZ_CHECK(w->size < MAX_WORD);
    char letter = *at++;
    if (letter == '\\' && *at == 'x') {
        const char digits[] = {at[1], at[2], '\0'};
        letter = (char)strtoul(digits, NULL, 16);
        at += 3;
    } else if (letter == '\\') {
        letter = *at++;
    }
    w->bytes[w->size++] = letter;
    return at;
}

static void read_dictionary(const char *path)
{
    char line[1024];
    FILE *file = fopen(path, "r");
    FUZZ_CHECK(file != NULL);
    while (fgets(line, sizeof line, file)) {
        const char *at = line;
        if (*at++ != '"') continue;
        FUZZ_CHECK(num_words < MAX_WORDS);
        word *w = &words[num_words++];
        while (*at && *at != '"') at = read_letter(at, w);
    }
    fclose(file);
    FUZZ_CHECK(num_words > 0);
}

static void free_all(void)
{
    for (size_t i = 0; i < num_seeds; i++) {
        free(seeds[i].name);
        free(seeds[i].bytes);
    }
    free(seeds);
}

/* ---- changes ---- */

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

static void insert_word(input *in, uint64_t *state)
{
    const word *w = &words[below(state, num_words)];
    replace(in, below(state, in->size + 1), 0, w->bytes, w->size);
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

static void (*const changes[])(input *, uint64_t *) = {
    change_bit, change_byte, cut_end, remove_part, repeat_part, insert_word, change_digit,
};

static void make_input(input *in, uint64_t number)
{
    uint64_t state = number;
    const seed *from = &seeds[number % num_seeds];
    in->size = from->size;
    memcpy(in->bytes, from->bytes, from->size);
    for (size_t i = below(&state, MAX_CHANGES + 1); i > 0 && in->size > 0; i--)
        changes[below(&state, sizeof changes / sizeof changes[0])](in, &state);
}

/* ---- runs ---- */

/* Each input lies in memory of exactly its size, so that a sanitizer sees a read beyond it. */
static bool accepts(const void *bytes, size_t size)
{
    uint8_t *exact = malloc(size + !size);
    FUZZ_CHECK(exact != NULL);
    memcpy(exact, bytes, size);
    size_t before = fuzz_accepted;
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return fuzz_accepted > before;
}

static void report(int signal_number)
{
    char text[512];
    int length = current_name ? snprintf(text, sizeof text, "input %s\n", current_name)
                              : snprintf(text, sizeof text, "input %" PRIu64 "\n", current);
    if (write(STDERR_FILENO, text, (size_t)length) == length) signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void run_corpus(void)
{
    for (size_t i = 0; i < num_seeds; i++) {
        current_name = seeds[i].name;
        bool accepted = accepts(seeds[i].bytes, seeds[i].size);
        FUZZ_CHECK(accepted || strncmp(seeds[i].name, "valid-", 6) != 0);
    }
    current_name = NULL;
}

int main(int argc, char **argv)
{
    static input in;
    if (argc < 4) {
        fprintf(stderr, "usage: %s CORPUS DICTIONARY ROUNDS [FIRST]\n", argv[0]);
        return EXIT_FAILURE;
    }
    uint64_t rounds = strtoull(argv[3], NULL, 10), first = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
    read_corpus(argv[1]);
    read_dictionary(argv[2]);
    signal(SIGABRT, report);
    signal(SIGSEGV, report);
    run_corpus();
    size_t accepted = fuzz_accepted;
    for (current = first; current < first + rounds; current++) {
        make_input(&in, current);
        accepts(in.bytes, in.size);
    }
    printf("%zu files of the corpus, %zu accepted; %" PRIu64 " changed inputs, %zu accepted\n", num_seeds, accepted,
           rounds, fuzz_accepted - accepted);
    free_all();
    return EXIT_SUCCESS;
}
