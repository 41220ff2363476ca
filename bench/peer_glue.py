"""Hugging Face PEFT on a GLUE task by the recipe of `peft train`'s defaults: the peer for scores, speed and memory.

    python peer_glue.py MODEL_DIR DATA_DIR TASK SEED EPOCHS [STEPS [DTYPE]]

LoRA of rank 8, alpha 16 on the six linear layers of each block (not the pooler), learning rate 1e-3, AdamW with weight
decay 0.01, 6 % warm-up, linear decay, clip 1.0, batches of 32 padded to the longest, at most 128 tokens, the model's own
dropout; DTYPE f32 or bf16 (the whole model, adapters too). With STEPS so many are timed, after a first one, and no score
is computed. Prints one JSON object with keys of `peft bench step --json`; tokens are real ones, without padding.
"""
import itertools
import json
import os
import sys
import time

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

import peer_process

# folder, columns of texts and label, header line, class whose id is 1 (None: the label is a number)
TASKS = {
    "cola": ("CoLA", [3], 1, False, None),
    "rte": ("RTE", [1, 2], 3, True, "not_entailment"),
    "mrpc": ("MRPC", [3, 4], 0, True, None),
    "stsb": ("STS-B", [7, 8], 9, True, None),
    "sst2": ("SST-2", [0], 1, True, None),
}
folder, data, task, seed, epochs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
max_steps = int(sys.argv[6]) if len(sys.argv) > 6 else 0
dtype = sys.argv[7] if len(sys.argv) > 7 else "f32"
regression = task == "stsb"
torch.manual_seed(seed)
torch.set_num_threads(int(os.environ.get("THREADS", "2")))


def rows(split):
    name, texts, label, header, positive = TASKS[task]
    with open(f"{data}/{name}/{split}.tsv", encoding="utf-8-sig") as file:
        cells = [line.rstrip("\n").split("\t") for line in file][header:]
    value = (lambda text: float(text == positive)) if positive else float
    return [([row[k] for k in texts], value(row[label])) for row in cells]


def encode(examples):
    texts = [[example[0][k] for example in examples] for k in range(len(examples[0][0]))]
    return tokenizer(*texts, truncation=True, max_length=128, padding=True, return_tensors="pt")


def evaluate():
    model.eval()
    with torch.no_grad():
        logits = np.concatenate([model(**encode(dev[k:k + 64])).logits.float().numpy()
                                 for k in range(0, len(dev), 64)])
    model.train()
    gold = np.array([example[1] for example in dev])
    if regression:
        return {"pearson": float(np.corrcoef(logits[:, 0], gold)[0, 1])}
    answers = logits.argmax(1)
    tp, fp = int(((answers == 1) & (gold == 1)).sum()), int(((answers == 1) & (gold == 0)).sum())
    fn, tn = int(((answers == 0) & (gold == 1)).sum()), int(((answers == 0) & (gold == 0)).sum())
    root = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    return {"accuracy": float((answers == gold).mean()), "f1": 2 * tp / max(1, 2 * tp + fp + fn),
            "matthews": (tp * tn - fp * fn) / root if root else 0.0}


train, dev = rows("train"), rows("dev")
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1 if regression else 2,
                                                           dtype=torch.float32)
model = get_peft_model(model, LoraConfig(
    task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.0,
    target_modules=["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]))
if dtype == "bf16":
    model = model.to(torch.bfloat16)
trained = [p for p in model.parameters() if p.requires_grad]
steps = epochs * ((len(train) + 31) // 32)
optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.01)
schedule = get_linear_schedule_with_warmup(optimizer, int(0.06 * steps), steps)
generator = np.random.default_rng(seed)


def batches():
    for _ in range(epochs):
        order = generator.permutation(len(train))
        for first in range(0, len(train), 32):
            yield [train[k] for k in order[first:first + 32]]


def step(examples):
    """Returns how many tokens it saw."""
    batch = encode(examples)
    logits, gold = model(**batch).logits.float(), torch.tensor([example[1] for example in examples])
    loss = (torch.nn.functional.mse_loss(logits[:, 0], gold.float()) if regression
            else torch.nn.functional.cross_entropy(logits, gold.long()))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    return int(batch["attention_mask"].sum())


model.train()
work = batches()
step(next(work))
start = peer_process.seconds()
began = time.perf_counter()
tokens = sum(map(step, itertools.islice(work, max_steps or None)))
seconds = time.perf_counter() - began
print(json.dumps({"task": task, "seed": seed, "metrics": {} if max_steps else evaluate(),
                  "train_seconds": seconds, "tokens_per_second_mean": tokens / seconds,
                  "start_seconds": {"total": start}, "peak_memory_bytes": peer_process.peak_memory_bytes()}))
