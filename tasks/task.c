#include "tasks/task.h"

#include <stdlib.h>

#include "io/file.h"
#include "ops/nearest.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const peft_split splits[] = {
    {.name = "train", .file = "train.tsv", .labelled = true},
    {.name = "dev", .file = "dev.tsv", .labelled = true},
    {.name = "test", .file = "test.tsv"},
    {0},
};

static const char *const cola_columns[] = {"source", "label", "original_mark", "sentence", NULL};

static const peft_split cola_splits[] = {
    {.name = "train", .file = "train.tsv", .labelled = true, .columns = cola_columns},
    {.name = "dev", .file = "dev.tsv", .labelled = true, .columns = cola_columns},
    {.name = "test", .file = "test.tsv"},
    {0},
};

static const peft_split mnli_splits[] = {
    {.name = "train", .file = "train.tsv", .labelled = true},
    {.name = "dev", .file = "dev_matched.tsv", .labelled = true},
    {.name = "dev_mismatched", .file = "dev_mismatched.tsv", .labelled = true},
    {.name = "test", .file = "test_matched.tsv"},
    {.name = "test_mismatched", .file = "test_mismatched.tsv"},
    {0},
};

static const peft_split wordnet_splits[] = {
    {.name = "train", .file = "train.tsv", .labelled = true},
    {.name = "dev", .file = "dev.tsv", .labelled = true},
    {0},
};

/* Class ids are those of Hugging Face's copy of GLUE, so that its trained heads mean the same here. */
static const peft_label acceptability[] = {{"0", "unacceptable"}, {"1", "acceptable"}};
static const peft_label sentiment[] = {{"0", "negative"}, {"1", "positive"}};
static const peft_label equivalence[] = {{"0", "not_equivalent"}, {"1", "equivalent"}};
static const peft_label duplicate[] = {{"0", "not_duplicate"}, {"1", "duplicate"}};
static const peft_label winograd[] = {{"0", "not_entailment"}, {"1", "entailment"}};
static const peft_label entailment[] = {{"entailment", "entailment"}, {"not_entailment", "not_entailment"}};
static const peft_label inference[] = {
    {"entailment", "entailment"}, {"neutral", "neutral"}, {"contradiction", "contradiction"}};
static const peft_label noun_class[] = {
    {"act", "act"},   {"animal", "animal"}, {"artifact", "artifact"}, {"communication", "communication"},
    {"food", "food"}, {"person", "person"}, {"plant", "plant"},       {"substance", "substance"}};
static const peft_label word_sense[] = {{"different", "different"}, {"same", "same"}};

#define LABELS(array) .labels = (array), .num_labels = COUNT(array), .quoting = PEFT_UNQUOTED

#define TEXTS(...)                                                                                                     \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__, NULL                                                                                              \
    }

static const peft_task tasks[] = {
    {.name = "cola",
     .folder = "CoLA",
     .help = "is the sentence acceptable English",
     .source = "GLUE; Corpus of Linguistic Acceptability, Warstadt et al. 2019, arXiv 1805.12471",
     .descriptions = TEXTS("Decide whether a sentence is acceptable English.",
                           "Read the sentence and say if its grammar is right or wrong.",
                           "Judge whether a native speaker of English would find the sentence well formed."),
     .text = "sentence",
     .label = "label",
     LABELS(acceptability),
     .answers = TEXTS("wrong", "right"),
     .metrics = {"matthews"},
     .splits = cola_splits},
    {.name = "sst2",
     .folder = "SST-2",
     .help = "is the sentence of a film review positive",
     .source = "GLUE; Stanford Sentiment Treebank, Socher et al. 2013",
     .descriptions = TEXTS("Decide whether the sentence of a film review is positive or negative.",
                           "Tell how the reviewer feels about the film: good or bad.",
                           "Classify the sentiment of a phrase about a film."),
     .text = "sentence",
     .label = "label",
     LABELS(sentiment),
     .answers = TEXTS("bad", "good"),
     .metrics = {"accuracy"},
     .splits = splits},
    {.name = "mrpc",
     .folder = "MRPC",
     .help = "do the two sentences mean the same",
     .source = "GLUE; Microsoft Research Paraphrase Corpus, Dolan and Brockett 2005",
     .descriptions = TEXTS("Decide whether two sentences from the news mean the same.",
                           "Say if the second sentence is a paraphrase of the first.",
                           "Compare two sentences and tell whether they report the same fact."),
     .text = "#1 String",
     .text_pair = "#2 String",
     .label = "Quality",
     LABELS(equivalence),
     .answers = TEXTS("different", "same"),
     .metrics = {"accuracy", "f1"},
     .splits = splits},
    {.name = "stsb",
     .folder = "STS-B",
     .help = "how similar are the two sentences, from 0 to 5",
     .source = "GLUE; Semantic Textual Similarity Benchmark, Cer et al. 2017, arXiv 1708.00055",
     .descriptions =
         TEXTS("Rate how similar two sentences are in meaning, from 0 to 5.",
               "Give a score for how much two sentences say the same, 5 for the same and 0 for nothing in common.",
               "Measure the closeness in meaning of two sentences."),
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "score",
     .num_labels = 1,
     .quoting = PEFT_UNQUOTED,
     .metrics = {"pearson", "spearman"},
     .splits = splits},
    {.name = "qqp",
     .folder = "QQP",
     .help = "do the two questions ask the same",
     .source = "GLUE; Quora Question Pairs, Iyer et al. 2017",
     .descriptions =
         TEXTS("Decide whether two questions ask the same.", "Tell if one answer would serve both questions.",
               "Find out whether the second question is a duplicate of the first."),
     .text = "question1",
     .text_pair = "question2",
     .label = "is_duplicate",
     LABELS(duplicate),
     .answers = TEXTS("different", "same"),
     .metrics = {"accuracy", "f1"},
     .splits = splits,
     .skips_broken_rows = true},
    {.name = "mnli",
     .folder = "MNLI",
     .help = "does sentence1 entail sentence2, contradict it, or neither",
     .source = "GLUE; Multi-Genre Natural Language Inference, Williams et al. 2018, arXiv 1704.05426",
     .descriptions = TEXTS("Decide whether the second sentence follows from the first, contradicts it, or neither.",
                           "Given a premise and a hypothesis, say entailment, neutral or contradiction.",
                           "Judge whether a statement is true, false or open if the first text holds."),
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "gold_label",
     LABELS(inference),
     .answers = TEXTS("true", "open", "false"),
     .metrics = {"accuracy"},
     .splits = mnli_splits},
    {.name = "qnli",
     .folder = "QNLI",
     .help = "does the sentence answer the question",
     .source = "GLUE; from SQuAD, Rajpurkar et al. 2016, arXiv 1606.05250",
     .descriptions = TEXTS("Decide whether the sentence holds the answer to the question.",
                           "Tell if a question about an article can be answered from the given sentence.",
                           "Say whether reading the sentence is enough to answer the question."),
     .text = "question",
     .text_pair = "sentence",
     .label = "label",
     LABELS(entailment),
     .answers = TEXTS("yes", "no"),
     .metrics = {"accuracy"},
     .splits = splits},
    {.name = "rte",
     .folder = "RTE",
     .help = "does sentence1 entail sentence2",
     .source = "GLUE; the PASCAL Recognizing Textual Entailment challenges 1, 2, 3 and 5",
     .descriptions = TEXTS("Decide whether the second sentence follows from the first.",
                           "Given a text, say if the short statement about it is entailed.",
                           "Judge whether someone who believes the first text would accept the second."),
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "label",
     LABELS(entailment),
     .answers = TEXTS("yes", "no"),
     .metrics = {"accuracy"},
     .splits = splits},
    {.name = "wnli",
     .folder = "WNLI",
     .help = "does the sentence with its pronoun replaced follow",
     .source = "GLUE; the Winograd Schema Challenge, Levesque et al. 2012",
     .descriptions = TEXTS("Decide whether the sentence with its pronoun replaced follows from the first.",
                           "Tell if the pronoun in the first sentence stands for what the second says.",
                           "Resolve a pronoun and judge whether the rewritten sentence is true."),
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "label",
     LABELS(winograd),
     .answers = TEXTS("no", "yes"),
     .metrics = {"accuracy"},
     .splits = splits},
    {.name = "wn-class",
     .folder = "wn-class",
     .help = "of which of eight kinds is the noun with this definition",
     .source = "WordNet 3.0; built by `peft tasks --build-wordnet DIR`",
     .descriptions = TEXTS("Say which kind of thing a definition describes: an act, an animal, an artifact, a "
                           "communication, a food, a person, a plant or a substance.",
                           "Sort the dictionary definition of a noun into one of eight kinds.",
                           "Read a definition and name the class of the thing that it defines."),
     .text = "sentence",
     .label = "label",
     LABELS(noun_class),
     .metrics = {"accuracy"},
     .splits = wordnet_splits},
    {.name = "wn-entail",
     .folder = "wn-entail",
     .help = "is the noun with this definition a kind of X",
     .source = "WordNet 3.0; built by `peft tasks --build-wordnet DIR`",
     .descriptions = TEXTS("Decide whether the noun with this definition is a kind of what the second sentence says.",
                           "Given the definition of a noun, say if it belongs to the broader class that is named.",
                           "Judge whether a definition entails that the thing is a kind of something."),
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "label",
     LABELS(entailment),
     .answers = TEXTS("yes", "no"),
     .metrics = {"accuracy"},
     .splits = wordnet_splits},
    {.name = "wn-sense",
     .folder = "wn-sense",
     .help = "do the two sentences use their common word in the same sense",
     .source = "WordNet 3.0; built by `peft tasks --build-wordnet DIR`",
     .descriptions = TEXTS("Decide whether two sentences use their common word in the same sense.",
                           "Tell if a word means the same in both sentences.",
                           "Compare how one word is used in two sentences: same meaning or different."),
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "label",
     LABELS(word_sense),
     .metrics = {"accuracy"},
     .splits = wordnet_splits},
};

size_t peft_num_tasks(void)
{
    return COUNT(tasks);
}

const peft_task *peft_task_at(size_t index)
{
    return &tasks[index];
}

const peft_task *peft_task_find(const char *name, peft_error *error)
{
    peft_names known = {&tasks[0].name, COUNT(tasks), sizeof tasks[0]};
    size_t index = peft_names_find(&known, name);
    if (index < known.count) return &tasks[index];
    peft_fail_unknown(error, PEFT_ERR_ARGUMENT, "task", name, &known);
    return NULL;
}

const peft_split *peft_task_split(const peft_task *task, const char *name, peft_error *error)
{
    peft_names known = {&task->splits[0].name, 0, sizeof task->splits[0]};
    while (task->splits[known.count].name) known.count++;
    size_t index = peft_names_find(&known, name);
    if (index < known.count) return &task->splits[index];
    peft_fail_unknown(error, PEFT_ERR_ARGUMENT, "split", name, &known);
    peft_fail_in(error, PEFT_ERR_ARGUMENT, task->name);
    return NULL;
}

bool peft_task_is_regression(const peft_task *task)
{
    return task->num_labels == 1;
}

peft_status peft_task_path(const peft_task *task, const char *data_dir, const peft_split *split, char **path,
                           peft_error *error)
{
    char *folder = NULL;
    peft_status status = PEFT_OK;
    *path = NULL;
    if (task->from_file) {
        bool absolute = split->file[0] == '/';
        return peft_path_join(absolute ? "" : data_dir ? data_dir : task->folder, split->file, path, error);
    }
    if (!data_dir)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "task %s: expected the data folder (--data) that holds %s/, found none", task->name,
                         task->folder);
    status = peft_path_join(data_dir, task->folder, &folder, error);
    if (status == PEFT_OK) status = peft_path_join(folder, split->file, path, error);
    free(folder);
    return status;
}
