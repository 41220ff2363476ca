#include "tasks/task.h"

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

#define LABELS(array) .labels = (array), .num_labels = COUNT(array)

static const peft_task tasks[] = {
    {.name = "cola",
     .folder = "CoLA",
     .help = "is the sentence acceptable English",
     .source = "GLUE; Corpus of Linguistic Acceptability, Warstadt et al. 2019, arXiv 1805.12471",
     .text = "sentence",
     .label = "label",
     LABELS(acceptability),
     .metrics = {"matthews"},
     .splits = cola_splits},
    {.name = "sst2",
     .folder = "SST-2",
     .help = "is the sentence of a film review positive",
     .source = "GLUE; Stanford Sentiment Treebank, Socher et al. 2013",
     .text = "sentence",
     .label = "label",
     LABELS(sentiment),
     .metrics = {"accuracy"},
     .splits = splits},
    {.name = "mrpc",
     .folder = "MRPC",
     .help = "do the two sentences mean the same",
     .source = "GLUE; Microsoft Research Paraphrase Corpus, Dolan and Brockett 2005",
     .text = "#1 String",
     .text_pair = "#2 String",
     .label = "Quality",
     LABELS(equivalence),
     .metrics = {"accuracy", "f1"},
     .splits = splits},
    {.name = "stsb",
     .folder = "STS-B",
     .help = "how similar are the two sentences, from 0 to 5",
     .source = "GLUE; Semantic Textual Similarity Benchmark, Cer et al. 2017, arXiv 1708.00055",
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "score",
     .num_labels = 1,
     .metrics = {"pearson", "spearman"},
     .splits = splits},
    {.name = "qqp",
     .folder = "QQP",
     .help = "do the two questions ask the same",
     .source = "GLUE; Quora Question Pairs, Iyer et al. 2017",
     .text = "question1",
     .text_pair = "question2",
     .label = "is_duplicate",
     LABELS(duplicate),
     .metrics = {"accuracy", "f1"},
     .splits = splits,
     .skips_broken_rows = true},
    {.name = "mnli",
     .folder = "MNLI",
     .help = "does sentence1 entail sentence2, contradict it, or neither",
     .source = "GLUE; Multi-Genre Natural Language Inference, Williams et al. 2018, arXiv 1704.05426",
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "gold_label",
     LABELS(inference),
     .metrics = {"accuracy"},
     .splits = mnli_splits},
    {.name = "qnli",
     .folder = "QNLI",
     .help = "does the sentence answer the question",
     .source = "GLUE; from SQuAD, Rajpurkar et al. 2016, arXiv 1606.05250",
     .text = "question",
     .text_pair = "sentence",
     .label = "label",
     LABELS(entailment),
     .metrics = {"accuracy"},
     .splits = splits},
    {.name = "rte",
     .folder = "RTE",
     .help = "does sentence1 entail sentence2",
     .source = "GLUE; the PASCAL Recognizing Textual Entailment challenges 1, 2, 3 and 5",
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "label",
     LABELS(entailment),
     .metrics = {"accuracy"},
     .splits = splits},
    {.name = "wnli",
     .folder = "WNLI",
     .help = "does the sentence with its pronoun replaced follow",
     .source = "GLUE; the Winograd Schema Challenge, Levesque et al. 2012",
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "label",
     LABELS(winograd),
     .metrics = {"accuracy"},
     .splits = splits},
    {.name = "wn-class",
     .folder = "wn-class",
     .help = "of which of eight kinds is the noun with this definition",
     .source = "WordNet 3.0; built by `peft tasks --build-wordnet DIR`",
     .text = "sentence",
     .label = "label",
     LABELS(noun_class),
     .metrics = {"accuracy"},
     .splits = wordnet_splits},
    {.name = "wn-entail",
     .folder = "wn-entail",
     .help = "is the noun with this definition a kind of X",
     .source = "WordNet 3.0; built by `peft tasks --build-wordnet DIR`",
     .text = "sentence1",
     .text_pair = "sentence2",
     .label = "label",
     LABELS(entailment),
     .metrics = {"accuracy"},
     .splits = wordnet_splits},
    {.name = "wn-sense",
     .folder = "wn-sense",
     .help = "do the two sentences use their common word in the same sense",
     .source = "WordNet 3.0; built by `peft tasks --build-wordnet DIR`",
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
