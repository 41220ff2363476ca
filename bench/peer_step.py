"""One training step of Hugging Face PEFT on full batches: the peer of `peft bench step`.

    python peer_step.py MODEL_DIR [SEQUENCES [LENGTH [TARGETS [RANK [STEPS [THREADS]]]]]]

Prints one JSON object, whose rate is that of the fastest step; TARGETS is a comma-separated list or all-linear.
"""
import json
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification

defaults = [None, "32", "128", "query,value", "8", "6", "2"]
arguments = sys.argv[1:] + defaults[len(sys.argv) - 1:]
folder, targets = arguments[0], arguments[3]
sequences, length, rank, steps, threads = (int(arguments[k]) for k in (1, 2, 4, 5, 6))

torch.manual_seed(0)
torch.set_num_threads(threads)
model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, dtype=torch.float32)
config = LoraConfig(task_type="SEQ_CLS", r=rank, lora_alpha=16, lora_dropout=0.0,
                    target_modules=targets if targets == "all-linear" else targets.split(","))
model = get_peft_model(model, config)
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
ids = torch.randint(0, model.config.vocab_size, (sequences, length))
labels = torch.zeros(sequences, dtype=torch.long)
model.train()
best = float("inf")
for _ in range(steps):
    began = time.perf_counter()
    model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss.backward()
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()
    optimizer.zero_grad()
    best = min(best, time.perf_counter() - began)
print(json.dumps({"sequences": sequences, "length": length, "targets": targets,
                  "tokens_per_second": round(sequences * length / best), "step_ms": round(best * 1e3, 1),
                  "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
