/* examples/02_train.c - fine-tunes an encoder on a table of texts and labels, as `peft train` does.
 *
 *     ./02_train MODEL_DIR train.csv dev.csv OUTPUT_DIR
 *
 * The tables have the columns text and label. */
#include <peft/peft.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool show(void *argument, const peft_event *event)
{
    (void)argument;
    printf("step %lld of %lld, loss %.4f\n", (long long)event->done, (long long)event->total, event->loss);
    return true; /* false would stop the run in order, after a checkpoint */
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s MODEL_DIR TRAIN_FILE DEV_FILE OUTPUT_DIR\n", argv[0]);
        return 2;
    }
    const peft_variant *lora = peft_variant_find("lora");
    void *lora_options = calloc(1, lora->options_bytes);
    peft_train_options train;
    peft_data_options data;
    peft_target_options targets;
    peft_error error = {0};

    /* Options are data: the same names as the command's flags and the configuration file's keys. */
    peft_status status = peft_variant_options_init(lora, lora_options, &error);
    if (status == PEFT_OK) status = peft_options_init(peft_train_option_table, &train, &error);
    if (status == PEFT_OK) status = peft_options_init(peft_data_option_table, &data, &error);
    if (status == PEFT_OK) status = peft_options_init(peft_target_option_table, &targets, &error);
    if (status == PEFT_OK) status = peft_options_set_text(lora->options, lora_options, "rank", "4", &error);
    if (status == PEFT_OK) status = peft_options_set_text(peft_train_option_table, &train, "epochs", "2", &error);
    if (status == PEFT_OK) status = peft_options_set_text(peft_data_option_table, &data, "train", argv[2], &error);
    if (status == PEFT_OK) status = peft_options_set_text(peft_data_option_table, &data, "dev", argv[3], &error);
    if (status == PEFT_OK)
        status = peft_options_set_text(peft_target_option_table, &targets, "target_modules", "all-linear", &error);

    const peft_train_job job = {.model = argv[1],
                                .output = argv[4],
                                .force = true,
                                .train = &train,
                                .data = &data,
                                .targets = &targets,
                                .variant = lora,
                                .variant_options = lora_options,
                                .callback = {show, NULL}};
    json_t *summary = NULL;
    if (status == PEFT_OK) status = peft_train(&job, &summary, &error);
    if (status == PEFT_OK) {
        json_dumpf(json_object_get(summary, "metrics"), stdout, 0);
        printf("\nadapter, run.json and log.jsonl in %s\n", argv[4]);
    } else {
        fprintf(stderr, "%s\n", error.message);
    }

    json_decref(summary);
    peft_options_free(lora->options, lora_options);
    peft_options_free(peft_train_option_table, &train);
    peft_options_free(peft_data_option_table, &data);
    peft_options_free(peft_target_option_table, &targets);
    free(lora_options);
    return status == PEFT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
