#!/usr/bin/env python3
"""Trains an adapter of every method with libpeft and loads it in Hugging Face PEFT: the same probabilities, and no warning
of a missing, unexpected or unknown name.

Needs torch, transformers and peft, which the library itself does not; run by hand:

    python tests/peft/to_peft.py build/peft/cli/peft [MODEL...]

On small models of every type that the library knows, and on the folders given. Methods that PEFT does not have are loaded as
the LoRA that `peft convert` makes of them, where they are one; PEFT has to refuse their own files.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import torch
from from_peft import ATTENTION, DENSE, SIZES, TEXTS, TOLERANCE, Program, make_base
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

# What PEFT says of files of its own, too: it looks for modules by the names that its AdaLoRA gives to ranks, and warns of
# VeRA's projections that were left out.
KNOWN = ["lora_E'", "vera_A and vera_B"]

# What becomes of a run: PEFT reads its files, or those of `peft convert`, or none.
AS_IT_IS, CONVERTED, REFUSED = "as it is", "converted", "refused"


def runs(kind):
    """Names, what PEFT does, settings of `peft train`."""
    attention, dense = ",".join(ATTENTION[kind]), ",".join(DENSE[kind])
    both = ["--target-modules", attention + "," + dense]
    first = ATTENTION[kind][0]
    saved = {"bert": "pooler", "roberta": "LayerNorm", "mpnet": "LayerNorm", "distilbert": "pre_classifier"}[kind]
    for start in ("kaiming", "gaussian", "orthogonal", "pissa", "pissa_niter_4", "olora", "eva", "corda", "lora_ga"):
        yield f"lora, {start}", AS_IT_IS, ["--variant", "lora", "--init", start]
    yield "lora, corda kpm", AS_IT_IS, ["--variant", "lora", "--init", "corda", "--corda-method", "kpm"]
    yield "lora, eva without sharing", AS_IT_IS, ["--variant", "lora", "--init", "eva", "--eva-rho", "1"]
    yield "lora, A frozen", AS_IT_IS, ["--variant", "lora", "--freeze-a"]
    yield "lora, all-linear", AS_IT_IS, ["--variant", "lora", "--target-modules", "all-linear"]
    yield "lora, regex", AS_IT_IS, ["--variant", "lora", "--target-modules", r".*\.1\..*" + first.split(".")[-1]]
    yield "lora, excluded", AS_IT_IS, ["--variant", "lora", "--exclude-modules", ATTENTION[kind][1]]
    yield "lora, one layer", AS_IT_IS, ["--variant", "lora", *both, "--layers-to-transform", "1"]
    for bias in ("all", "lora_only"):
        yield f"lora, bias {bias}", AS_IT_IS, ["--variant", "lora", "--bias", bias, *both]
    yield "lora, saves more", AS_IT_IS, ["--variant", "lora", "--modules-to-save", saved]
    yield "lora, patterns", AS_IT_IS, ["--variant", "lora", *both, "--rank-pattern", f'{{"{first}": 3}}',
                                       "--alpha-pattern", f'{{"{first}": 5, "{ATTENTION[kind][1]}": 2.5}}']
    yield "lora, patterns that meet", AS_IT_IS, ["--variant", "lora", "--rank-pattern",
                                                 f'{{"{first}": 3, ".*1.*{first}": 6}}']
    yield "lora, dropout and LoRA+", AS_IT_IS, ["--variant", "lora", "--dropout", "0.3", "--loraplus-lr-ratio", "4"]
    for start in ("kaiming", "olora", "eva"):
        yield f"rslora, {start}", AS_IT_IS, ["--variant", "rslora", "--init", start]
    yield "dora", AS_IT_IS, ["--variant", "dora", *both]
    yield "dora, eva", AS_IT_IS, ["--variant", "dora", "--init", "eva"]
    yield "dora, rslora", AS_IT_IS, ["--variant", "dora", "--use-rslora"]
    yield "dora, bias all", AS_IT_IS, ["--variant", "dora", "--bias", "all"]
    yield "adalora", AS_IT_IS, ["--variant", "adalora", "--rank", "6", "--target-rank", "2"]
    yield "adalora, at its budget", AS_IT_IS, ["--variant", "adalora", "--rank", "6", "--target-rank", "1", "--tinit", "0",
                                               "--tfinal", "2", *both]
    yield "adalora, bias", AS_IT_IS, ["--variant", "adalora", "--bias", "lora_only"]
    yield "vera", AS_IT_IS, ["--variant", "vera", "--rank", "16", *both]
    yield "vera, no projection", AS_IT_IS, ["--variant", "vera", "--rank", "16", "--save-projection=false",
                                            "--projection-prng-key", "7"]
    yield "vera, bias", AS_IT_IS, ["--variant", "vera", "--rank", "16", "--bias", "vera_only"]
    yield "ia3", AS_IT_IS, ["--variant", "ia3"]
    yield "ia3, attention", AS_IT_IS, ["--variant", "ia3", "--target-modules", attention]
    yield "loha", AS_IT_IS, ["--variant", "loha", *both]
    yield "lokr", AS_IT_IS, ["--variant", "lokr", *both]
    yield "lokr, both", AS_IT_IS, ["--variant", "lokr", "--rank", "2", "--decompose-both", "--decompose-factor", "8"]
    yield "lokr, lycoris", AS_IT_IS, ["--variant", "lokr", "--init", "lycoris"]
    for name in ("lora2", "sora"):
        yield name, CONVERTED, ["--variant", name]
        yield name, REFUSED, ["--variant", name]
    for name in ("molora", "mola", "mor1e", "trex", "mov", "head"):
        yield name, REFUSED, ["--variant", name]
    for name in ("lora", "adalora", "loha", "lokr", "vera"):
        yield name, CONVERTED, ["--variant", name]


def write_data(scratch):
    for name, count in (("train.csv", 48), ("dev.csv", 8)):
        lines = [f"w{7 + i % 2} w{9 + i % 7}{f' w{20 + i % 11}' if i % 3 else ''},{'no' if i % 2 else 'yes'}"
                 for i in range(count)]
        (scratch / name).write_text("\n".join(["text,label", *lines]) + "\n")


def probabilities(base, folder):
    tokenizer = AutoTokenizer.from_pretrained(base)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.manual_seed(4)  # of a head and a pooler that the adapter would leave out
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, ignore_mismatched_sizes=True)
        caught.clear()
        model = PeftModel.from_pretrained(model, folder).eval()
        said = [str(w.message) for w in caught if not issubclass(w.category, (FutureWarning, DeprecationWarning))]
    rows = []
    for text in TEXTS:
        with torch.no_grad():
            rows.append(torch.softmax(model(**tokenizer(text, return_tensors="pt")).logits[0].double(), 0))
    return torch.stack(rows), said


def check(program, base, outcome, settings, scratch):
    """A fault or None, and the largest difference."""
    folder, size = scratch / "run", [] if "--rank" in settings else ["--rank", "4"]
    if {"ia3", "mov", "head", "mor1e", "trex"} & set(settings):
        size = []
    result = program("train", "--model", base, "--train", scratch.parent / "train.csv", "--dev",
                     scratch.parent / "dev.csv", "--steps", 6, "--batch-size", 8, "--learning-rate", 0.02, "--output",
                     folder, "--quiet", *size, *settings)
    if result.returncode:
        return f"train: {result.stderr.strip()}", 0.0
    if outcome is REFUSED:
        try:
            probabilities(base, folder)
        except Exception:
            return None, 0.0
        return "PEFT takes a folder of a method that it does not have", 0.0
    found = program.numbers("predict", "--model", base, "--adapter", folder)
    if outcome is CONVERTED:
        result = program("convert", "--adapter", folder, "--output", scratch / "lora")
        if result.returncode:
            return f"convert: {result.stderr.strip()}", 0.0
        folder = scratch / "lora"
    expected, said = probabilities(base, folder)
    difference = float((expected - found).abs().max())
    if not difference <= TOLERANCE:
        return f"differs by {difference:.3g}", difference
    said = [text for text in said if not any(known in text for known in KNOWN)]
    return (f"PEFT says: {said[0]}" if said else None), difference


def main():
    tried, faulty, worst = 0, 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        write_data(scratch)
        texts = scratch / "texts.txt"
        texts.write_text("\n".join(TEXTS) + "\n")
        program = Program(str(Path(sys.argv[1]).resolve()), texts)
        bases = [(kind, make_base(kind, scratch / "bases" / kind)) for kind in SIZES]
        bases += [("mpnet" if "mpnet" in path else "bert", Path(path).resolve()) for path in sys.argv[2:]]
        for kind, base in bases:
            for what, outcome, settings in runs(kind):
                tried += 1
                place = scratch / str(tried)
                place.mkdir()
                try:
                    fault, difference = check(program, base, outcome, settings, place)
                except Exception as failure:
                    fault, difference = f"{type(failure).__name__}: {failure}", 0.0
                worst = max(worst, difference)
                if fault:
                    faulty += 1
                    print(f"{base.name}, {what}, {outcome}: {fault[:600]}", flush=True)
    print(f"{tried} runs, {faulty} with faults; largest difference {worst:.2g}")
    sys.exit(1 if faulty else 0)


if __name__ == "__main__":
    main()
