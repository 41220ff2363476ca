#include "tests/peft/sample_program.h"

#include <float.h>
#include <math.h>

peft_status sample_result = PEFT_OK;

static const peft_option own_table[] = {
    {.name = "model",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(sample_values, model),
     .placeholder = "DIR",
     .help = "the base model"},
    {.name = "variant",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(sample_values, variant),
     .initial = "lora",
     .help = "the kind of adapter"},
    {.name = "rank",
     .type = PEFT_OPTION_INT,
     .offset = offsetof(sample_values, rank),
     .initial = "8",
     .min = 1,
     .max = 64,
     .help = "rank of the update"},
    {.name = "seeds", .type = PEFT_OPTION_JSON, .offset = offsetof(sample_values, seeds), .help = "seeds"},
    {0}};

static const char *const schedules[] = {"linear", "cosine", "constant", NULL};

static const peft_option training_table[] = {{.name = "learning_rate",
                                              .type = PEFT_OPTION_FLOAT,
                                              .offset = offsetof(sample_training, learning_rate),
                                              .initial = "0.001",
                                              .min = DBL_MIN,
                                              .max = HUGE_VAL,
                                              .help = "step size [at the peak]",
                                              .group = "Training"},
                                             {.name = "schedule",
                                              .type = PEFT_OPTION_STRING,
                                              .offset = offsetof(sample_training, schedule),
                                              .initial = "linear",
                                              .choices = schedules,
                                              .help = "how the step size's decay goes",
                                              .group = "Training"},
                                             {.name = "shuffle",
                                              .type = PEFT_OPTION_BOOL,
                                              .offset = offsetof(sample_training, shuffle),
                                              .initial = "true",
                                              .help = "new order in each epoch",
                                              .group = "Training"},
                                             {0}};

typedef struct lora2_values {
    int64_t target_rank, rank;
} lora2_values;

static const peft_option empty_table[] = {{0}};
static const peft_option molora_table[] = {{.name = "num_experts",
                                            .type = PEFT_OPTION_INT,
                                            .offset = offsetof(sample_molora, num_experts),
                                            .initial = "4",
                                            .min = 1,
                                            .max = 64,
                                            .help = "experts in each layer"},
                                           {0}};
static const peft_option lora2_table[] = {
    {.name = "target_rank", .type = PEFT_OPTION_INT, .offset = offsetof(lora2_values, target_rank), .help = "budget"},
    {.name = "rank", .type = PEFT_OPTION_INT, .offset = offsetof(lora2_values, rank), .initial = "8", .help = "rank"},
    {0}};

static bool extension(size_t index, peft_command_extension *one)
{
    static const peft_command_extension all[] = {{"lora", empty_table, 0},
                                                 {"molora", molora_table, sizeof(sample_molora)},
                                                 {"lora2", lora2_table, sizeof(lora2_values)}};
    if (index >= sizeof all / sizeof *all) return false;
    *one = all[index];
    return true;
}

static peft_status run(const peft_arguments *arguments, peft_output *output, peft_error *error)
{
    (void)arguments;
    fputs("it ran\n", output->results);
    return sample_result == PEFT_OK ? PEFT_OK : peft_fail(error, sample_result, "it\nfailed");
}

const peft_command sample_fit = {
    .name = "fit",
    .summary = "fit an adapter",
    .example = "prog fit --model m",
    .description = "Fits.\nAnd more.",
    .operands = "[FILE]",
    .max_operands = 1,
    .parts = (const peft_command_part[]){{own_table, 0}, {training_table, offsetof(sample_values, training)}, {0}},
    .bytes = sizeof(sample_values),
    .required = (const char *const[]){"model", NULL},
    .selector = "variant",
    .extension = extension,
    .run = run,
};

static void report(FILE *out)
{
    fputs("a library 1.0\n", out);
}

const peft_program sample_program = {
    .name = "prog",
    .version = "1.2.3",
    .description = "A sample.",
    .commands = (const peft_command *const[]){&sample_fit, NULL},
    .report_versions = report,
};
