"""Training steps of Hugging Face PEFT on full batches of random tokens: the peer of `peft bench step`.

    python peer_step.py MODEL_DIR SEQUENCES LENGTH TARGETS STEPS THREADS DTYPE

TARGETS is a comma-separated list, DTYPE f32 or bf16 (the whole model, adapters too). Prints one JSON object with keys of
`peft bench step --json`: STEPS are timed, after a first one.
"""
import json
import statistics
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification

import peer_process

folder, targets, dtype = sys.argv[1], sys.argv[4], sys.argv[7]
sequences, length, steps, threads = (int(sys.argv[k]) for k in (2, 3, 5, 6))

torch.manual_seed(0)
torch.set_num_threads(threads)
model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, dtype=torch.float32)
model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.0,
                                         target_modules=targets.split(",")))
if dtype == "bf16":
    model = model.to(torch.bfloat16)
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4)
ids = torch.randint(0, model.config.vocab_size, (sequences, length))
labels = torch.zeros(sequences, dtype=torch.long)
model.train()


def step():
    model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()


step()
start = peer_process.seconds()
seconds = []
for _ in range(steps):
    began = time.perf_counter()
    step()
    seconds.append(time.perf_counter() - began)
print(json.dumps({"tokens_per_second": sequences * length / statistics.median(seconds),
                  "start_seconds": {"total": start}, "peak_memory_bytes": peer_process.peak_memory_bytes()}))
