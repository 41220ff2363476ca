#include "models/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "io/json.h"

/* The children of a node stand side by side: labels[first[n]] ... labels[first[n] + num_children[n] - 1], in order. */
struct peft_vocab {
    uint8_t *labels; /* [num_nodes] the byte that leads to a node */
    int32_t *first;  /* [num_nodes] */
    uint16_t *num_children;
    int32_t *ids; /* [num_nodes] id of the token that ends here, or -1 */
    int32_t num_nodes;
    int32_t size;
};

/* ---- building ---- */

/* Of all token texts together; the trie and its building stay below 0.5 GB. Real vocabularies have some 2 million. */
enum { MAX_NODES = 1 << 24 };

/* Bytes of a text that a message shows. */
static int shown(size_t bytes)
{
    return bytes < 64 ? (int)bytes : 64;
}

static int compare_ids(const void *left, const void *right)
{
    const peft_vocab_entry *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static int compare_texts(const void *left, const void *right)
{
    const peft_vocab_entry *a = left, *b = right;
    int order = memcmp(a->text, b->text, a->bytes < b->bytes ? a->bytes : b->bytes);
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static size_t common_bytes(const peft_vocab_entry *a, const peft_vocab_entry *b)
{
    size_t bytes = 0;
    while (bytes < a->bytes && bytes < b->bytes && a->text[bytes] == b->text[bytes]) bytes++;
    return bytes;
}

static peft_status check_ids(peft_vocab_entry *entries, size_t count, peft_error *error)
{
    if (count) qsort(entries, count, sizeof *entries, compare_ids);
    for (size_t i = 0; i < count; i++) {
        const peft_vocab_entry *entry = &entries[i];
        if (entry->id < 0 || entry->id > PEFT_VOCAB_MAX_ID)
            return peft_fail(error, PEFT_ERR_FORMAT, "token \"%.*s\": expected an id from 0 to %d, found %d",
                             shown(entry->bytes), entry->text, PEFT_VOCAB_MAX_ID, entry->id);
        if (i && entry->id == entry[-1].id)
            return peft_fail(error, PEFT_ERR_FORMAT, "tokens \"%.*s\" and \"%.*s\" have the same id %d",
                             shown(entry[-1].bytes), entry[-1].text, shown(entry->bytes), entry->text, entry->id);
    }
    return PEFT_OK;
}

/* Sorts the entries by text and counts the nodes of their trie: the root and every byte that is not shared with the
 * entry before. */
static peft_status sort_texts(peft_vocab_entry *entries, size_t count, int32_t *num_nodes, peft_error *error)
{
    if (count) qsort(entries, count, sizeof *entries, compare_texts);
    size_t nodes = 1;
    for (size_t i = 0; i < count; i++) {
        size_t shared = i ? common_bytes(&entries[i - 1], &entries[i]) : 0;
        if (i && shared == entries[i].bytes)
            return peft_fail(error, PEFT_ERR_FORMAT, "token \"%.*s\" occurs twice", shown(shared), entries[i].text);
        nodes += entries[i].bytes - shared;
        if (nodes > MAX_NODES)
            return peft_fail(error, PEFT_ERR_FORMAT, "expected tokens of at most %d bytes in all", MAX_NODES);
    }
    *num_nodes = (int32_t)nodes;
    return PEFT_OK;
}

static peft_vocab *allocate(int32_t num_nodes)
{
    peft_vocab *vocab = calloc(1, sizeof *vocab);
    if (!vocab) return NULL;
    size_t nodes = (size_t)num_nodes;
    vocab->num_nodes = num_nodes;
    vocab->labels = calloc(nodes, sizeof *vocab->labels);
    vocab->first = calloc(nodes, sizeof *vocab->first);
    vocab->num_children = calloc(nodes, sizeof *vocab->num_children);
    vocab->ids = calloc(nodes, sizeof *vocab->ids);
    if (vocab->labels && vocab->first && vocab->num_children && vocab->ids) return vocab;
    peft_vocab_close(vocab);
    return NULL;
}

/* The sorted entries that share the bytes on the way to a node. */
typedef struct span {
    uint32_t begin, end, depth;
} span;

/* Nodes are numbered level by level, so a node's children get their numbers one after the other. */
static void fill(peft_vocab *vocab, const peft_vocab_entry *entries, size_t count, span *spans)
{
    int32_t next = 1;
    spans[0] = (span){0, (uint32_t)count, 0};
    for (int32_t node = 0; node < vocab->num_nodes; node++) {
        span s = spans[node];
        bool ends_here = s.begin < s.end && entries[s.begin].bytes == s.depth;
        vocab->ids[node] = ends_here ? entries[s.begin++].id : -1;
        vocab->first[node] = next;
        while (s.begin < s.end) {
            uint8_t label = (uint8_t)entries[s.begin].text[s.depth];
            uint32_t end = s.begin;
            while (end < s.end && (uint8_t)entries[end].text[s.depth] == label) end++;
            vocab->labels[next] = label;
            spans[next++] = (span){s.begin, end, s.depth + 1};
            s.begin = end;
        }
        vocab->num_children[node] = (uint16_t)(next - vocab->first[node]);
    }
}

peft_status peft_vocab_open(peft_vocab **vocab, peft_vocab_entry *entries, size_t count, peft_error *error)
{
    *vocab = NULL;
    peft_status status = check_ids(entries, count, error);
    if (status) return status;
    int32_t size = count ? entries[count - 1].id + 1 : 0;
    int32_t num_nodes = 0;
    status = sort_texts(entries, count, &num_nodes, error);
    if (status) return status;

    peft_vocab *built = allocate(num_nodes);
    span *spans = calloc((size_t)num_nodes, sizeof *spans);
    if (!built || !spans) {
        peft_vocab_close(built);
        free(spans);
        return peft_fail(error, PEFT_ERR_MEMORY, "vocabulary of %zu tokens: out of memory", count);
    }
    fill(built, entries, count, spans);
    free(spans);
    built->size = size;
    *vocab = built;
    return PEFT_OK;
}

/* An empty token, as a blank line makes it, is found in no text. */
static peft_status entries_from_json(json_t *object, peft_vocab_entry *entries, size_t *count, peft_error *error)
{
    *count = 0;
    const char *text;
    size_t bytes;
    json_t *id;
    json_object_keylen_foreach(object, text, bytes, id)
    {
        char found[PEFT_JSON_TEXT];
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > PEFT_VOCAB_MAX_ID)
            return peft_fail(error, PEFT_ERR_FORMAT, "token \"%.*s\": expected an id from 0 to %d, found %s",
                             shown(bytes), text, PEFT_VOCAB_MAX_ID, peft_json_text(id, found));
        if (bytes) entries[(*count)++] = (peft_vocab_entry){text, bytes, (int32_t)json_integer_value(id)};
    }
    return PEFT_OK;
}

peft_status peft_vocab_open_json(peft_vocab **vocab, json_t *object, peft_error *error)
{
    *vocab = NULL;
    if (!json_is_object(object)) return peft_fail(error, PEFT_ERR_FORMAT, "expected an object of tokens and ids");
    size_t count = json_object_size(object);
    peft_vocab_entry *entries = calloc(count + 1, sizeof *entries);
    if (!entries) return peft_fail(error, PEFT_ERR_MEMORY, "vocabulary of %zu tokens: out of memory", count);
    peft_status status = entries_from_json(object, entries, &count, error);
    if (status == PEFT_OK) status = peft_vocab_open(vocab, entries, count, error);
    free(entries);
    return status;
}

void peft_vocab_close(peft_vocab *vocab)
{
    if (!vocab) return;
    free(vocab->labels);
    free(vocab->first);
    free(vocab->num_children);
    free(vocab->ids);
    free(vocab);
}

/* ---- looking up ---- */

static int32_t child(const peft_vocab *vocab, int32_t node, char label)
{
    const uint8_t *labels = vocab->labels + vocab->first[node];
    const uint8_t *found = memchr(labels, (uint8_t)label, vocab->num_children[node]);
    return found ? (int32_t)(found - vocab->labels) : -1;
}

int32_t peft_vocab_size(const peft_vocab *vocab)
{
    return vocab->size;
}

int32_t peft_vocab_walk(const peft_vocab *vocab, int32_t node, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes && node >= 0; i++) node = child(vocab, node, text[i]);
    return node;
}

int32_t peft_vocab_id(const peft_vocab *vocab, int32_t node)
{
    return node < 0 ? -1 : vocab->ids[node];
}

int32_t peft_vocab_find(const peft_vocab *vocab, const char *text, size_t bytes)
{
    return peft_vocab_id(vocab, peft_vocab_walk(vocab, PEFT_VOCAB_ROOT, text, bytes));
}

int32_t peft_vocab_longest(const peft_vocab *vocab, int32_t node, const char *text, size_t bytes, size_t *matched)
{
    int32_t id = -1;
    *matched = 0;
    for (size_t i = 0; i < bytes && node >= 0; i++) {
        node = child(vocab, node, text[i]);
        if (node >= 0 && vocab->ids[node] >= 0) {
            id = vocab->ids[node];
            *matched = i + 1;
        }
    }
    return id;
}
