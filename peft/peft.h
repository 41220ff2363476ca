/* peft/peft.h - all of libpeft: parameter-efficient fine-tuning of transformers.
 *
 *     from below                                            from above
 *     ops/tensor.h   element types and shapes               peft/train.h           a training run, from files to files
 *     ops/graph.h    describe, differentiate, plan, run     peft/target.h          which layers are adapted
 *     ops/ops.h      what a graph is described with         peft/inject.h          adapters onto a model, and off
 *     variants/      LoRA and its family                    peft/adapter_folder.h  adapters as files (peft/config.h)
 *     models/        transformers                           peft/merge.h           adapters folded into weights
 *                                                           peft/model_folder.h    models as files
 *
 * Every function that can fail returns a status and explains itself in a peft_error (ops/status.h). */
#ifndef PEFT_PEFT_PEFT_H
#define PEFT_PEFT_PEFT_H

#include "generators/canonical.h"
#include "generators/library.h"
#include "generators/places.h"
#include "generators/t2l/loss.h"
#include "generators/t2l/t2l.h"
#include "io/option.h"
#include "io/value_set.h"
#include "models/answers.h"
#include "models/model.h"
#include "models/words.h"
#include "ops/batch.h"
#include "ops/context.h"
#include "ops/graph.h"
#include "ops/ops.h"
#include "ops/optimizer.h"
#include "ops/rng.h"
#include "ops/side.h"
#include "ops/status.h"
#include "ops/tensor.h"
#include "ops/weight.h"
#include "peft/adapter_folder.h"
#include "peft/agreement.h"
#include "peft/answer_objective.h"
#include "peft/answers.h"
#include "peft/checkpoint.h"
#include "peft/config.h"
#include "peft/convert.h"
#include "peft/end_to_end.h"
#include "peft/generator.h"
#include "peft/inject.h"
#include "peft/merge.h"
#include "peft/model_folder.h"
#include "peft/reconstruction.h"
#include "peft/target.h"
#include "peft/train.h"
#include "peft/trainer.h"
#include "variants/adapter.h"
#include "variants/tensors.h"
#include "variants/variant.h"

#endif
