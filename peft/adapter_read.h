/* peft/adapter_read.h - an adapter folder without attaching it to a model: what is in it, for those who only look. */
#ifndef PEFT_PEFT_ADAPTER_READ_H
#define PEFT_PEFT_ADAPTER_READ_H

#include "io/safetensors.h"
#include "peft/config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_adapter_contents {
    peft_adapter_config config;
    peft_safetensors *file;
    peft_adapters *adapters; /* NULL: no adapter, weights trained in full alone */

    /* Tensors of the file that are no values of the adapter: the head, modules to save, biases. */
    peft_file_tensor *others; /* [num_others] */
    size_t num_others;
} peft_adapter_contents;

/* Reads both files. The layers are those that the tensors name, layer 2 before layer 10; their sizes are taken from the
 * shapes of the sides that read the input and write the output; PEFT_ERR_UNSUPPORTED where a variant's shapes do not
 * say them. With `model`, which may be NULL and stays as it is, the layers are those of the model that the settings
 * select, and it has to be the adapter's own base (peft/provenance.h). Other errors as peft_adapter_load has them. */
PEFT_API peft_status peft_adapter_read(peft_adapter_contents *contents, const char *folder, peft_model *model,
                                       const peft_load_options *options, peft_error *error);
/* The same with the base model in the folder `base`. Where `base` is NULL and the shapes do not say the sizes, with the
 * one that adapter_config.json names, if it is there. */
PEFT_API peft_status peft_adapter_read_with(peft_adapter_contents *contents, const char *folder, const char *base,
                                            const peft_load_options *options, peft_error *error);

/* Reads both files without making layers of them: contents->adapters is NULL, and all tensors are among the others. */
PEFT_API peft_status peft_adapter_read_tensors(peft_adapter_contents *contents, const char *folder,
                                               const peft_load_options *options, peft_error *error);

/* The same for layers that are known: in their order, with their sizes. */
PEFT_API peft_status peft_adapter_read_layers(peft_adapter_contents *contents, const char *folder,
                                              const peft_layer *layers, int64_t num_layers,
                                              const peft_load_options *options, peft_error *error);
PEFT_API void peft_adapter_contents_free(peft_adapter_contents *contents); /* a struct of zeros is allowed */

/* Do the shapes of its tensors say the sizes of the layers, so that the adapter can be read without its base? */
bool peft_adapter_shows_sizes(const peft_adapter_config *config);

/* What a model has to be opened with to take the head that a folder holds: the part, and how many classes or one score;
 * num_labels is 0 where it holds none. The other options are defaults. */
PEFT_API peft_status peft_adapter_head(const char *folder, peft_model_options *head, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
