/* peft/model_folder.h - a model as a folder that transformers reads: config.json, model.safetensors, the tokenizer. */
#ifndef PEFT_PEFT_MODEL_FOLDER_H
#define PEFT_PEFT_MODEL_FOLDER_H

#include "models/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes all weights as they count now, trained or merged, as PEFT_F32, PEFT_F16 or PEFT_BF16 under the names of the
 * task model, so that AutoModelForSequenceClassification (AutoModel, where it was opened without head) and
 * peft_model_open read the folder; the other settings and
 * the tokenizer are those of the folder that the model was opened from. Adapters that are attached are left out: merge
 * them before (peft/merge.h). `label_names` [number of labels] go into id2label; NULL: the classes have no names, or
 * there is one score. Makes the folder where there is none. PEFT_ERR_NUMERIC: a weight is beyond the range of the type;
 * PEFT_ERR_ARGUMENT: it is the folder that the model was opened from. */
PEFT_API peft_status peft_model_save(peft_model *model, peft_dtype dtype, char *const *label_names, const char *folder,
                                     peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
