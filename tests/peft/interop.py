#!/usr/bin/env python3
"""Shows that the adapters libpeft writes load in Hugging Face PEFT and mean the same there.

Needs torch, transformers and peft, which the library itself does not; run by hand:

    python tests/peft/interop.py build/peft/libpeft.so tests/fixtures/goldens

Each golden adapter is read by libpeft, written again, and loaded by PEFT beside the original: all tensors and the logits
have to be the same bits, and PEFT may not warn about a missing or an unexpected key or an unknown field.
"""

import ctypes
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoModelForSequenceClassification

ADAPTERS = ["lora-all", "rslora", "rank-pattern", "layers", "adalora", "dora", "dora-rslora", "ia3", "loha", "lokr", "vera"]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 1024)]


def copy_adapter(library, base, source, target):
    """source -> libpeft -> target."""
    error, model, adapters = Error(), ctypes.c_void_p(), ctypes.c_void_p()

    def check(status):
        if status:
            sys.exit(f"{source}: {error.message.decode()}")

    check(library.peft_model_open(ctypes.byref(model), str(base).encode(), None, ctypes.byref(error)))
    check(library.peft_adapter_load(model, str(source).encode(), None, ctypes.byref(adapters), None,
                                    ctypes.byref(error)))
    check(library.peft_adapter_save(model, adapters, None, str(target).encode(), ctypes.byref(error)))
    library.peft_adapters_free(adapters)
    library.peft_model_close(model)


def logits(base, adapter):
    """Logits of PEFT, and its adapter's tensors."""
    torch.manual_seed(0)  # of a head that the adapter would leave out
    model = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(base), adapter).eval()
    ids = torch.arange(2, 34).reshape(4, 8)
    with torch.no_grad():
        return model(input_ids=ids).logits, model.state_dict()


def main():
    library = ctypes.CDLL(sys.argv[1])
    goldens = Path(sys.argv[2])
    base = goldens / "models" / "bert"
    warnings.simplefilter("error", UserWarning)
    failures = 0
    for name in ADAPTERS:
        source = goldens / "variants" / name / "adapter"
        with tempfile.TemporaryDirectory() as target:
            copy_adapter(library, base, source, target)
            expected, expected_state = logits(base, source)
            found, found_state = logits(base, target)
            config = PeftConfig.from_pretrained(target)
        same = torch.equal(expected, found) and expected_state.keys() == found_state.keys()
        same = same and all(torch.equal(expected_state[key], found_state[key]) for key in expected_state)
        failures += not same
        print(f"{name:14} {'same' if same else 'DIFFERENT'}: {len(expected_state)} tensors, "
              f"largest difference of logits {float((expected - found).abs().max()):g}, {config.peft_type}, "
              f"{len(config.target_modules)} targets")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
