#include "models/bpe.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "models/byte_level.h"

enum { NUM_BYTES = 256, MAX_MERGES = 1 << 24 };

/* A pair that was learned: left and right become `id`; of two the one with the smaller rank is joined first. */
typedef struct merge {
    int32_t left, right, rank, id;
} merge;

struct peft_bpe {
    peft_vocab *vocab;
    merge *table; /* [table_size] open addressing; an empty place has the left -1 */
    size_t table_size;
    int32_t letters[NUM_BYTES]; /* id of the letter of a byte, -1: the vocabulary has none */
    int32_t unknown;            /* -1: bytes without a letter are left out */
    bool fuse_unknown, ignore_merges;
};

/* ---- merges ---- */

static size_t place_of(const peft_bpe *b, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key = (key ^ key >> 31) * 0x9e3779b97f4a7c15U;
    size_t place = (size_t)(key >> 32) & (b->table_size - 1);
    while (b->table[place].left >= 0 && (b->table[place].left != left || b->table[place].right != right))
        place = (place + 1) & (b->table_size - 1);
    return place;
}

/* NULL: the pair was not learned. */
static const merge *find_merge(const peft_bpe *b, int32_t left, int32_t right)
{
    const merge *found = &b->table[place_of(b, left, right)];
    return found->left >= 0 ? found : NULL;
}

/* ---- reading ---- */

typedef struct part {
    const char *text;
    size_t bytes;
} part;

/* Both spellings of a merge. */
static bool split_merge(const json_t *entry, part *left, part *right)
{
    if (json_is_array(entry)) {
        const json_t *a = json_array_get(entry, 0), *b = json_array_get(entry, 1);
        if (json_array_size(entry) != 2 || !json_is_string(a) || !json_is_string(b)) return false;
        *left = (part){json_string_value(a), json_string_length(a)};
        *right = (part){json_string_value(b), json_string_length(b)};
        return true;
    }
    const char *text = json_string_value(entry), *space = text ? strchr(text, ' ') : NULL;
    if (!space || strchr(space + 1, ' ')) return false;
    *left = (part){text, (size_t)(space - text)};
    *right = (part){space + 1, strlen(space + 1)};
    return true;
}

static int32_t find_joined(const peft_bpe *b, const part *left, const part *right)
{
    int32_t node = peft_vocab_walk(b->vocab, PEFT_VOCAB_ROOT, left->text, left->bytes);
    node = node < 0 ? -1 : peft_vocab_walk(b->vocab, node, right->text, right->bytes);
    return peft_vocab_id(b->vocab, node);
}

static peft_status add_merge(peft_bpe *b, const json_t *entry, size_t rank, peft_error *error)
{
    part left, right;
    char found[PEFT_JSON_TEXT];
    if (!split_merge(entry, &left, &right))
        return peft_fail(error, PEFT_ERR_FORMAT, "merge %zu: expected two tokens, found %s", rank + 1,
                         peft_json_text(entry, found));
    merge made = {.left = peft_vocab_find(b->vocab, left.text, left.bytes),
                  .right = peft_vocab_find(b->vocab, right.text, right.bytes),
                  .rank = (int32_t)rank,
                  .id = find_joined(b, &left, &right)};
    if (made.left < 0 || made.right < 0 || made.id < 0)
        return peft_fail(error, PEFT_ERR_FORMAT, "merge %zu: %s: not all of it is in the vocabulary", rank + 1,
                         peft_json_text(entry, found));
    b->table[place_of(b, made.left, made.right)] = made;
    return PEFT_OK;
}

static peft_status read_merges(peft_bpe *b, const json_t *model, peft_error *error)
{
    json_t *merges = NULL;
    peft_status status = peft_json_array(model, "merges", &merges, "model", error);
    size_t count = json_array_size(merges);
    if (status == PEFT_OK && count > MAX_MERGES)
        status = peft_fail(error, PEFT_ERR_FORMAT, "model: expected at most %d merges", MAX_MERGES);
    if (status) return status;
    for (b->table_size = 2; b->table_size < 2 * count; b->table_size *= 2) {}
    b->table = malloc(b->table_size * sizeof *b->table);
    if (!b->table) return peft_fail(error, PEFT_ERR_MEMORY, "%zu merges: out of memory", count);
    for (size_t k = 0; k < b->table_size; k++) b->table[k].left = -1;
    for (size_t k = 0; status == PEFT_OK && k < count; k++) status = add_merge(b, json_array_get(merges, k), k, error);
    return status;
}

static peft_status refuse_others(const json_t *model, peft_error *error)
{
    static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    bool byte_fallback = false;
    double dropout = 0;
    for (size_t k = 0; k < 2; k++) {
        const char *text = "";
        peft_status status = peft_json_string(model, texts[k], &text, "model", error);
        if (status) return status;
        if (*text) return peft_fail(error, PEFT_ERR_UNSUPPORTED, "model: %s %s is not offered", texts[k], text);
    }
    peft_status status = peft_json_bool(model, "byte_fallback", &byte_fallback, "model", error);
    if (status == PEFT_OK) status = peft_json_double(model, "dropout", 0, 1, &dropout, "model", error);
    if (status) return status;
    if (byte_fallback) return peft_fail(error, PEFT_ERR_UNSUPPORTED, "model: byte_fallback true is not offered");
    if (dropout > 0) return peft_fail(error, PEFT_ERR_UNSUPPORTED, "model: dropout %g is not offered", dropout);
    return PEFT_OK;
}

static peft_status read_letters(peft_bpe *b, const json_t *model, peft_error *error)
{
    const char *unknown = NULL;
    for (int byte = 0; byte < NUM_BYTES; byte++) {
        char letter[PEFT_BYTE_LETTER_BYTES];
        b->letters[byte] = peft_vocab_find(b->vocab, letter, peft_byte_letter((uint8_t)byte, letter));
    }
    b->unknown = -1;
    peft_status status = peft_json_string(model, "unk_token", &unknown, "model", error);
    if (status == PEFT_OK) status = peft_json_bool(model, "fuse_unk", &b->fuse_unknown, "model", error);
    if (status == PEFT_OK) status = peft_json_bool(model, "ignore_merges", &b->ignore_merges, "model", error);
    if (status || !unknown) return status;
    b->unknown = peft_vocab_find(b->vocab, unknown, strlen(unknown));
    if (b->unknown >= 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_FORMAT, "model: unk_token \"%s\" is not in the vocabulary", unknown);
}

static peft_status read_model(peft_bpe *b, const json_t *model, peft_error *error)
{
    peft_status status = refuse_others(model, error);
    if (status) return status;
    status = peft_vocab_open_json(&b->vocab, json_object_get(model, "vocab"), error);
    if (status) return peft_fail_in(error, status, "model: vocab");
    status = read_letters(b, model, error);
    return status ? status : read_merges(b, model, error);
}

peft_status peft_bpe_open(peft_bpe **bpe, const json_t *model, peft_error *error)
{
    peft_bpe *opened = calloc(1, sizeof *opened);
    *bpe = NULL;
    if (!opened) return peft_fail(error, PEFT_ERR_MEMORY, "model: out of memory");
    peft_status status = read_model(opened, model, error);
    if (status)
        peft_bpe_close(opened);
    else
        *bpe = opened;
    return status;
}

void peft_bpe_close(peft_bpe *b)
{
    if (!b) return;
    peft_vocab_close(b->vocab);
    free(b->table);
    free(b);
}

const peft_vocab *peft_bpe_vocab(const peft_bpe *b)
{
    return b->vocab;
}

/* ---- encoding ---- */

/* The symbols of a piece are a list in an array; one that was joined to its left neighbour has the id -1. */
typedef struct peft_bpe_symbol {
    int32_t id;
    size_t previous, next;
} symbol;

/* Two neighbours that can be joined. It is out of date when one of them has changed since. */
typedef struct peft_bpe_pair {
    const merge *merge;
    size_t left;
} pair;

enum { NO_SYMBOL = -1 };

void peft_bpe_memory_free(peft_bpe_memory *m)
{
    free(m->symbols);
    free(m->heap);
    free(m->letters);
    *m = (peft_bpe_memory){0};
}

/* At most n - 1 pairs of neighbours at the start, and two more for each of n - 1 joins. */
static bool reserve(peft_bpe_memory *m, size_t bytes)
{
    if (bytes <= m->capacity) return true;
    if (bytes > PTRDIFF_MAX / (4 * sizeof(symbol))) return false;
    size_t capacity = m->capacity ? m->capacity : 64;
    while (capacity < bytes) capacity *= 2;
    peft_bpe_memory_free(m);
    m->symbols = malloc(capacity * sizeof *m->symbols);
    m->heap = malloc(3 * capacity * sizeof *m->heap);
    m->letters = malloc(PEFT_BYTE_LETTER_BYTES * capacity);
    if (!m->symbols || !m->heap || !m->letters) return false;
    m->capacity = capacity;
    return true;
}

static bool before(const pair *a, const pair *b)
{
    return a->merge->rank != b->merge->rank ? a->merge->rank < b->merge->rank : a->left < b->left;
}

static void push_pair(peft_bpe_memory *m, pair added)
{
    size_t at = m->heap_count++;
    for (; at > 0 && before(&added, &m->heap[(at - 1) / 2]); at = (at - 1) / 2) m->heap[at] = m->heap[(at - 1) / 2];
    m->heap[at] = added;
}

static pair pop_pair(peft_bpe_memory *m)
{
    pair first = m->heap[0], last = m->heap[--m->heap_count];
    size_t at = 0;
    for (size_t child = 1; child < m->heap_count; child = 2 * at + 1) {
        if (child + 1 < m->heap_count && before(&m->heap[child + 1], &m->heap[child])) child++;
        if (!before(&m->heap[child], &last)) break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = last;
    return first;
}

static void consider(const peft_bpe *b, peft_bpe_memory *m, size_t left, size_t count)
{
    size_t right = left < count ? m->symbols[left].next : count;
    if (right >= count) return;
    const merge *found = find_merge(b, m->symbols[left].id, m->symbols[right].id);
    if (found) push_pair(m, (pair){found, left});
}

static size_t list_letters(const peft_bpe *b, const char *piece, size_t bytes, symbol *symbols)
{
    size_t count = 0;
    bool unknown_before = false;
    for (size_t k = 0; k < bytes; k++) {
        int32_t id = b->letters[(uint8_t)piece[k]];
        bool unknown = id < 0;
        if (unknown) id = unknown_before && b->fuse_unknown ? NO_SYMBOL : b->unknown;
        unknown_before = unknown;
        if (id >= 0) symbols[count++].id = id;
    }
    for (size_t k = 0; k < count; k++) {
        symbols[k].previous = k ? k - 1 : count;
        symbols[k].next = k + 1;
    }
    return count;
}

static void join(const peft_bpe *b, peft_bpe_memory *m, size_t count)
{
    symbol *symbols = m->symbols;
    m->heap_count = 0;
    for (size_t k = 0; k < count; k++) consider(b, m, k, count);
    while (m->heap_count) {
        pair best = pop_pair(m);
        symbol *left = &symbols[best.left];
        if (left->id != best.merge->left || left->next >= count) continue;
        symbol *right = &symbols[left->next];
        if (right->id != best.merge->right) continue;
        left->id = best.merge->id;
        right->id = NO_SYMBOL;
        left->next = right->next;
        if (left->next < count) symbols[left->next].previous = best.left;
        consider(b, m, left->previous, count);
        consider(b, m, best.left, count);
    }
}

/* The id of the piece as a whole, or -1. */
static int32_t whole_id(const peft_bpe *b, const char *piece, size_t bytes, char *letters)
{
    size_t length = 0;
    for (size_t k = 0; k < bytes; k++) length += peft_byte_letter((uint8_t)piece[k], letters + length);
    return peft_vocab_find(b->vocab, letters, length);
}

peft_status peft_bpe_encode(const peft_bpe *b, const char *piece, size_t bytes, peft_bpe_memory *m, peft_encoding *out,
                            peft_error *error)
{
    if (!reserve(m, bytes)) return peft_fail(error, PEFT_ERR_MEMORY, "text of %zu bytes: out of memory", bytes);
    int32_t whole = b->ignore_merges ? whole_id(b, piece, bytes, m->letters) : -1;
    size_t count = whole >= 0 ? 0 : list_letters(b, piece, bytes, m->symbols);
    join(b, m, count);
    bool pushed = whole < 0 || peft_encoding_push(out, whole);
    for (size_t k = 0; pushed && k < count; k = m->symbols[k].next) pushed = peft_encoding_push(out, m->symbols[k].id);
    return pushed ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "text of %zu bytes: out of memory", bytes);
}
