#!/usr/bin/env python3
"""Makes adapters of the kinds that people have with Hugging Face PEFT, and reads them with libpeft: the same answers, or a
refusal where the method is not offered.

Needs torch, transformers and peft, which the library itself does not; run by hand:

    python tests/peft/from_peft.py build/peft/cli/peft [CASE...]

Each adapter has random values, none of them zero. PEFT loads the folder onto a fresh model and says what probabilities and
sentence vectors are right; `peft predict`, `embed`, `merge`, `convert` and `inspect` are given the same folder.
"""

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import torch
import transformers
from peft import (AdaLoraConfig, BOFTConfig, FourierFTConfig, IA3Config, LNTuningConfig, LoHaConfig, LoKrConfig,
                  LoraConfig, OFTConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, VeraConfig, get_peft_model)
from safetensors.torch import load_file, save_file
from transformers import (AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForQuestionAnswering,
                          AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer)

transformers.utils.logging.disable_progress_bar()
warnings.simplefilter("ignore")
torch.set_num_threads(1)

TEXTS = ["w10 w20 w3", "w5", "w7 w8 w9 w10 w11 w12 w13 w14 w15", "w99 w98 w97 w4 w4 w4 w50"]
TOLERANCE = 5e-5  # of a probability and of a unit vector's entry: float32 sums in another order

# ---- bases ----

SIZES = {
    "bert": {"type_vocab_size": 2, "pad_token_id": 0, "max_position_embeddings": 64},
    "roberta": {"type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
                "max_position_embeddings": 66},
    "mpnet": {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": 66},
    "distilbert": {"pad_token_id": 0, "max_position_embeddings": 64},
}
COMMON = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 80}
OF_DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 80}
WORDPIECE = {
    "bert": (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "BertTokenizer"),
    "distilbert": (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "DistilBertTokenizer"),
    "mpnet": (["<s>", "<pad>", "</s>", "[UNK]", "<mask>"], "MPNetTokenizer"),
}


def write_tokenizer(kind, folder):
    words = [f"w{k}" for k in range(120)]
    if kind == "roberta":
        import tokenizers
        bpe = tokenizers.ByteLevelBPETokenizer()
        bpe.train_from_iterator([" ".join(words)] * 3, vocab_size=420, min_frequency=2,
                                special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
        bpe.save_model(str(folder))
        size = bpe.get_vocab_size()
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
        return size
    special, name = WORDPIECE[kind]
    vocabulary = special + words
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    return len(vocabulary)


def make_base(kind, folder, classes=AutoModelForSequenceClassification):
    folder.mkdir(parents=True)
    size = write_tokenizer(kind, folder)
    sizes = OF_DISTILBERT if kind == "distilbert" else COMMON
    labels = {} if classes is AutoModel else {"num_labels": 3}
    config = AutoConfig.for_model(kind, vocab_size=size, initializer_range=0.3, **labels, **sizes, **SIZES[kind])
    torch.manual_seed(len(kind))
    classes.from_config(config).save_pretrained(folder)
    return folder


# ---- adapters ----


def shake(model):
    """Random values, none of them zero, for all that an adapter trains."""
    for name, value in model.named_parameters():
        if not value.requires_grad:
            continue
        noise = torch.randn_like(value)
        with torch.no_grad():
            if "magnitude" in name:
                value.mul_(1 + 0.2 * noise)
            elif "ia3_l" in name:
                value.copy_(1 + 0.3 * noise)
            elif "lora_" in name or "hada_" in name or "lokr_" in name or "vera_lambda" in name:
                value.copy_(0.3 * noise)
            else:
                value.add_(0.2 * noise)


def rewrite_config(**changes):
    """GONE as a value removes the field."""
    def edit(folder):
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text())
        for key, value in changes.items():
            config.pop(key, None)
            if value is not GONE:
                config[key] = value
        path.write_text(json.dumps(config))
    return edit


GONE = object()


def old_config(folder):
    """The fields that PEFT 0.4 wrote."""
    path = folder / "adapter_config.json"
    kept = ["auto_mapping", "base_model_name_or_path", "bias", "fan_in_fan_out", "inference_mode", "init_lora_weights",
            "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "modules_to_save", "peft_type", "r",
            "revision", "target_modules", "task_type"]
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: config[key] for key in kept}))


def rename(pattern, replacement):
    def edit(folder):
        path = folder / "adapter_model.safetensors"
        save_file({re.sub(pattern, replacement, key): value for key, value in load_file(path).items()}, path)
    return edit


def without(pattern):
    def edit(folder):
        path = folder / "adapter_model.safetensors"
        save_file({key: value for key, value in load_file(path).items() if not re.search(pattern, key)}, path)
    return edit


def in_dtype(dtype):
    def edit(folder):
        path = folder / "adapter_model.safetensors"
        save_file({key: value.to(dtype) for key, value in load_file(path).items()}, path, metadata={"format": "pt"})
    return edit


def pickled(folder):
    path = folder / "adapter_model.safetensors"
    torch.save(load_file(path), folder / "adapter_model.bin")
    path.unlink()


class Case:
    """An adapter: `edits` change its folder, `refuse` is found in the message where libpeft does not offer it. With `task`, a
    class of transformers, it was trained for a task that libpeft does not have, on an encoder without head; a head that it
    brings under the name of ours does not merge."""

    def __init__(self, name, config, kind="bert", head=True, edits=(), refuse=None, save=None, task=None, merges=True):
        self.name, self.config, self.kind, self.head, self.edits = name, config, kind, head and not task, edits
        self.refuse, self.save, self.task, self.merges = refuse, save or {}, task, merges

    def base(self, bases):
        return bases[self.kind, self.task is None]

    def model(self, bases):
        classes = self.task or (AutoModelForSequenceClassification if self.head else AutoModel)
        torch.manual_seed(3)
        return classes.from_pretrained(self.base(bases)).eval()


ATTENTION = {"bert": ["query", "value"], "roberta": ["query", "value"], "distilbert": ["q_lin", "v_lin"],
             "mpnet": ["attn.q", "attn.v"]}
DENSE = {"bert": ["intermediate.dense", "output.dense"], "roberta": ["intermediate.dense", "output.dense"],
         "distilbert": ["ffn.lin1", "ffn.lin2"], "mpnet": ["intermediate.dense", "output.dense"]}
SEQ = {"task_type": "SEQ_CLS"}
FE = {"task_type": "FEATURE_EXTRACTION"}


def lora(**settings):
    return LoraConfig(**{"r": 4, "lora_alpha": 8, **settings})


def cases():
    yield from of_every_model()
    yield from of_lora()
    yield from of_other_methods()
    yield from of_old_files()
    yield from of_other_tasks()
    yield from that_are_refused()


def of_every_model():
    for kind in SIZES:
        q, d = ATTENTION[kind], DENSE[kind]
        yield Case(f"{kind}-seq-cls", lora(target_modules=q, **SEQ), kind)
        yield Case(f"{kind}-feature-extraction", lora(target_modules=q + d, **FE), kind, head=False)
        yield Case(f"{kind}-no-task", lora(target_modules=q), kind)
        if kind != "distilbert":  # PEFT cannot read its own file
            yield Case(f"{kind}-all-linear", lora(target_modules="all-linear", **SEQ), kind)
        yield Case(f"{kind}-all-linear-encoder", lora(target_modules="all-linear", **FE), kind, head=False)
        yield Case(f"{kind}-bias-all", lora(target_modules=q, bias="all", **SEQ), kind)
        yield Case(f"{kind}-bias-lora-only", lora(target_modules=q + d, bias="lora_only", **SEQ), kind)
        yield Case(f"{kind}-bias-all-encoder", lora(target_modules=q, bias="all", **FE), kind, head=False)
        yield Case(f"{kind}-dora", lora(target_modules=q + d, use_dora=True, **SEQ), kind)
        yield Case(f"{kind}-ia3", IA3Config(target_modules=q + d, feedforward_modules=d, **SEQ), kind)
        yield Case(f"{kind}-adalora", AdaLoraConfig(target_modules=q, init_r=4, target_r=2, total_step=10, **SEQ), kind)
        yield Case(f"{kind}-vera", VeraConfig(target_modules=q, r=16, **SEQ), kind)
        yield Case(f"{kind}-loha", LoHaConfig(target_modules=q + d, r=4, alpha=8, **SEQ), kind)
        yield Case(f"{kind}-lokr", LoKrConfig(target_modules=q + d, r=4, alpha=8, **SEQ), kind)
        if kind in ("bert", "roberta"):
            yield Case(f"{kind}-default-targets", lora(**SEQ), kind)
    for kind in ("bert", "roberta", "mpnet"):
        yield Case(f"{kind}-dense", lora(target_modules=["dense"], **SEQ), kind)
        yield Case(f"{kind}-dense-encoder", lora(target_modules=["dense"], **FE), kind, head=False)
    yield Case("distilbert-pre-classifier", lora(target_modules=["q_lin"], modules_to_save=["pre_classifier"], **SEQ),
               "distilbert")


def of_lora():
    q = ["query", "value"]
    yield Case("rslora", lora(target_modules=q, use_rslora=True, r=9, **SEQ))
    yield Case("dora-rslora", lora(target_modules=q, use_rslora=True, use_dora=True, **SEQ))
    yield Case("dora-old-name", lora(target_modules=q, use_dora=True, **SEQ),
               edits=[rename("lora_magnitude_vector$", "lora_magnitude_vector.weight")])
    yield Case("fan-in-fan-out", lora(target_modules=q, fan_in_fan_out=True, **SEQ))
    yield Case("regex", lora(target_modules=r".*layer\.1\.attention\.self\.(query|key)", **SEQ))
    yield Case("regex-anchored", lora(target_modules=r"bert\.encoder\.layer\.\d+\.output\.dense$", **SEQ))
    yield Case("full-names", lora(target_modules=["bert.encoder.layer.0.attention.self.query",
                                                  "bert.encoder.layer.1.output.dense"], **SEQ))
    yield Case("layers", lora(target_modules=q, layers_to_transform=[1], **SEQ))
    yield Case("one-layer-as-number", lora(target_modules=q, layers_to_transform=0, layers_pattern="layer", **SEQ))
    yield Case("layers-pattern-list", lora(target_modules=q, layers_to_transform=[0], layers_pattern=["layer"], **SEQ))
    yield Case("excluded", lora(target_modules=["dense"], exclude_modules=["pooler.dense"], **SEQ))
    yield Case("excluded-regex", lora(target_modules="all-linear", exclude_modules=r".*output.*", **SEQ))
    yield Case("rank-pattern", lora(target_modules=q, rank_pattern={"layer.0.attention.self.query": 2, "value": 7},
                                    **SEQ))
    yield Case("rank-and-alpha-pattern", lora(target_modules=q + ["key"], rank_pattern={r"layer.1.attention.self.query": 6},
                                              alpha_pattern={"key": 32, r"layer.1.attention.self.query": 5}, **SEQ))
    yield Case("caret-patterns", lora(target_modules=q, rank_pattern={"^bert.encoder.layer.1.attention.self.query": 3},
                                      alpha_pattern={"^query": 3}, **SEQ))
    yield Case("both-patterns-rslora", lora(target_modules=q, use_rslora=True, rank_pattern={"value": 2},
                                            alpha_pattern={"value": 3.5}, **SEQ))
    yield Case("float-alpha", lora(target_modules=q, lora_alpha=0.37, **SEQ))
    yield Case("dropout", lora(target_modules=q, lora_dropout=0.5, **SEQ))
    yield Case("saves-pooler", lora(target_modules=q, modules_to_save=["pooler"], **SEQ))
    yield Case("saves-layer-norm", lora(target_modules=q, modules_to_save=["LayerNorm", "classifier"], **SEQ))
    yield Case("saves-embeddings", lora(target_modules=q, modules_to_save=["word_embeddings"], **SEQ))
    yield Case("saves-pooler-encoder", lora(target_modules=q, modules_to_save=["pooler"], **FE), head=False)
    yield Case("save-embedding-layers", lora(target_modules=q, **SEQ), save={"save_embedding_layers": True})
    yield Case("saves-a-part-of-a-layer", lora(target_modules=q, modules_to_save=["layer.0.output"], **SEQ))
    yield Case("bias-lora-only-encoder", lora(target_modules=q, bias="lora_only", **FE), head=False)
    yield Case("on-classifier-alone", lora(target_modules=["classifier"]))
    yield Case("on-head", lora(target_modules=["query", "classifier.dense", "classifier.out_proj"]), "roberta")
    yield Case("on-head-regex", lora(target_modules=r".*(query|dense)$"), "roberta")
    yield Case("on-classifier-dora", lora(target_modules=["query", "classifier"], use_dora=True))
    yield Case("one-name", lora(target_modules=".*query", **SEQ))
    yield Case("on-classifier", lora(target_modules=q + ["classifier"], **SEQ))
    yield Case("on-pooler", lora(target_modules=q + ["pooler.dense"], **SEQ))
    yield Case("bias-all-dora", lora(target_modules=q, bias="all", use_dora=True, **SEQ))
    yield Case("bias-all-no-task", lora(target_modules=q, bias="all"))
    yield Case("bias-lora-only-pattern", lora(target_modules=q, bias="lora_only", rank_pattern={"query": 2}, **SEQ))
    for start in ("gaussian", "orthogonal", False, "eva", "mica"):
        yield Case(f"init-{start}", lora(target_modules=q, init_lora_weights=True, **SEQ),
                   edits=[rewrite_config(init_lora_weights=start)])
    for start in ("pissa", "olora"):
        yield Case(f"init-{start}", lora(target_modules=q, init_lora_weights=start, **SEQ))
        yield Case(f"init-{start}-encoder", lora(target_modules=q, init_lora_weights=start, **FE), head=False)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        yield Case(f"in-{str(dtype)[6:]}", lora(target_modules=q, **SEQ), edits=[in_dtype(dtype)])
    yield Case("rank-1", lora(target_modules=q, r=1, **SEQ))
    yield Case("rank-above-width", lora(target_modules=q, r=48, **SEQ))
    yield Case("alpha-0", lora(target_modules=q, lora_alpha=0, **SEQ))
    yield Case("negative-alpha", lora(target_modules=q, lora_alpha=-4, **SEQ))
    yield Case("lora-bias", lora(target_modules=q, lora_bias=True, **SEQ), refuse="lora_bias")
    yield Case("trainable-tokens", lora(target_modules=q, trainable_token_indices=[4, 5], **SEQ),
               refuse="trainable_token_indices")
    yield Case("token-cls", lora(target_modules=q, task_type="TOKEN_CLS"), head=True)


def of_other_methods():
    q, d = ["query", "value"], ["output.dense"]
    yield Case("adalora-finished", AdaLoraConfig(target_modules=q, init_r=6, target_r=2, total_step=10, tinit=2, tfinal=2,
                                                 rank_pattern={
        f"bert.encoder.layer.{n}.attention.self.{m}.lora_E": [True, False, True, False, True, True]
        for n in (0, 1) for m in q}, **SEQ))
    yield Case("adalora-bias", AdaLoraConfig(target_modules=q, init_r=3, target_r=2, total_step=10, bias="all", **SEQ))
    yield Case("adalora-encoder", AdaLoraConfig(target_modules=q, init_r=3, target_r=2, total_step=10, **FE), head=False)
    yield Case("vera-saves-projection", VeraConfig(target_modules=q, r=16, save_projection=True, d_initial=0.3, **SEQ))
    yield Case("vera-no-projection", VeraConfig(target_modules=q, r=16, save_projection=False,
                                                projection_prng_key=5, **SEQ))
    yield Case("vera-two-widths", VeraConfig(target_modules=q + d, r=16, **SEQ))
    yield Case("vera-bias", VeraConfig(target_modules=q, r=16, bias="vera_only", **SEQ))
    yield Case("vera-encoder", VeraConfig(target_modules=q + d, r=5, **FE), head=False)
    yield Case("ia3-classifier", IA3Config(target_modules=["key", "classifier"], feedforward_modules=["classifier"]))
    yield Case("vera-dense", VeraConfig(target_modules=["dense"], r=8, **SEQ))
    yield Case("ia3-default", IA3Config(**SEQ))
    yield Case("ia3-attention", IA3Config(target_modules=["key", "value"], feedforward_modules=[], **SEQ))
    yield Case("ia3-regex", IA3Config(target_modules=r".*\.(key|output\.dense)", feedforward_modules=r".*\.output\.dense",
                                      **SEQ))
    yield Case("ia3-encoder", IA3Config(target_modules=["key"] + d, feedforward_modules=d, **FE), head=False)
    yield Case("ia3-fan-in", IA3Config(target_modules=["key"], feedforward_modules=[], fan_in_fan_out=True, **SEQ))
    yield Case("loha-patterns", LoHaConfig(target_modules=q, r=4, alpha=4, rank_pattern={"query": 2},
                                           alpha_pattern={"value": 1}, **SEQ))
    yield Case("loha-encoder", LoHaConfig(target_modules=q, r=2, alpha=4, **FE), head=False)
    yield Case("lokr-decompose-both", LoKrConfig(target_modules=q + d, r=2, alpha=4, decompose_both=True, **SEQ))
    yield Case("lokr-factor", LoKrConfig(target_modules=q + d, r=3, alpha=4, decompose_factor=8, **SEQ))
    yield Case("lokr-wide-rank", LoKrConfig(target_modules=q, r=64, alpha=4, **SEQ))
    yield Case("lokr-rank-dropout-scale", LoKrConfig(target_modules=q, r=2, alpha=4, rank_dropout=0.2,
                                                     rank_dropout_scale=True, **SEQ))
    yield Case("lokr-dense", LoKrConfig(target_modules=["dense"], r=2, alpha=3, **SEQ))
    yield Case("loha-classifier", LoHaConfig(target_modules=["query", "classifier"], r=2, alpha=3))
    yield Case("lokr-layers", LoKrConfig(target_modules=q, r=2, alpha=4, layers_to_transform=[1], **SEQ))
    yield Case("lokr-encoder", LoKrConfig(target_modules=q + d, r=2, alpha=4, **FE), head=False)


def of_old_files():
    q = ["query", "value"]
    yield Case("fields-of-peft-0.4", lora(target_modules=q, **SEQ), edits=[old_config])
    yield Case("enable-lora", lora(target_modules=q, **SEQ), edits=[rewrite_config(enable_lora=None, merge_weights=False)])
    yield Case("unknown-field", lora(target_modules=q, **SEQ), edits=[rewrite_config(a_field_of_tomorrow=None)])
    yield Case("without-metadata", lora(target_modules=q, **SEQ), edits=[rename("$", "")])
    yield Case("runtime-config", lora(target_modules=q, **SEQ), edits=[rewrite_config(runtime_config={})])
    yield Case("score-in-modules-to-save", lora(target_modules=q, modules_to_save=["score", "classifier"]))
    yield Case("target-sets-with-strangers", lora(target_modules=q, **SEQ),
               edits=[rewrite_config(target_modules=["query", "value", "q_proj"])])
    yield Case("task-type-gone", lora(target_modules=q, **SEQ), edits=[rewrite_config(task_type=GONE)])
    yield Case("minimal-config", lora(target_modules=q, **SEQ), edits=[lambda folder: (
        folder / "adapter_config.json").write_text(json.dumps(
            {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": q, "modules_to_save": ["classifier"]}))])
    yield Case("pickle", lora(target_modules=q, **SEQ), edits=[pickled], refuse="adapter_model.bin")
    yield Case("head-left-out", lora(target_modules=q, **SEQ), edits=[without("classifier"),
                                                                       rewrite_config(modules_to_save=None, task_type=None)])


def of_other_tasks():
    """Whose hidden states are theirs, whatever the head."""
    q = ["query", "value"]
    for kind in SIZES:
        a = ATTENTION[kind]
        yield Case(f"{kind}-masked-words", lora(target_modules=a), kind, task=AutoModelForMaskedLM)
        yield Case(f"{kind}-answers", lora(target_modules=a, task_type="QUESTION_ANS"), kind,
                   task=AutoModelForQuestionAnswering)
        yield Case(f"{kind}-tokens", lora(target_modules=a, task_type="TOKEN_CLS"), kind,
                   task=AutoModelForTokenClassification, merges=kind == "bert")
        yield Case(f"{kind}-masked-words-all-linear", lora(target_modules="all-linear"), kind, task=AutoModelForMaskedLM)
        yield Case(f"{kind}-masked-words-bias", lora(target_modules=a, bias="all"), kind, task=AutoModelForMaskedLM)
    yield Case("masked-words-saved-head", lora(target_modules=q, modules_to_save=["cls"]), task=AutoModelForMaskedLM)
    yield Case("masked-words-decoder", lora(target_modules=q + ["decoder"]), task=AutoModelForMaskedLM)
    yield Case("masked-words-dense", lora(target_modules=["dense"]), "roberta", task=AutoModelForMaskedLM)
    yield Case("masked-words-vera", VeraConfig(target_modules=["dense"], r=8), task=AutoModelForMaskedLM)


def that_are_refused():
    q = ["query", "value"]
    yield Case("embeddings", lora(target_modules=q + ["word_embeddings"], **SEQ), refuse="lora_embedding_A")
    yield Case("pissa-niter", lora(target_modules=q, init_lora_weights="pissa_niter_4", **SEQ), refuse="pissa_niter_4")
    yield Case("corda", lora(target_modules=q, **SEQ), edits=[rewrite_config(init_lora_weights="corda")], refuse="corda")
    yield Case("qalora", lora(target_modules=q, **SEQ), edits=[rewrite_config(use_qalora=True)], refuse="use_qalora")
    yield Case("parameters", lora(target_modules=q, **SEQ), edits=[rewrite_config(target_parameters=["x"])],
               refuse="target_parameters")
    yield Case("type-in-small-letters", lora(target_modules=q, **SEQ), edits=[rewrite_config(peft_type="lora")],
               refuse="peft_type")
    yield Case("other-model", lora(target_modules=q, **SEQ), edits=[rename("bert", "roberta")], refuse="missing: 8")
    yield Case("other-task", lora(target_modules=q, **SEQ), edits=[rename("classifier", "cls")], refuse="unexpected: 2")
    yield Case("oft", OFTConfig(target_modules=q, r=4, oft_block_size=0, **SEQ), refuse="OFT")
    yield Case("boft", BOFTConfig(target_modules=q, boft_block_size=4, **SEQ), refuse="BOFT")
    yield Case("fourier", FourierFTConfig(target_modules=q, n_frequency=10, **SEQ), refuse="FOURIERFT")
    yield Case("layer-norm", LNTuningConfig(target_modules=["LayerNorm"], **SEQ), refuse="LN_TUNING")
    yield Case("prefix", PrefixTuningConfig(num_virtual_tokens=3, **SEQ), refuse="PREFIX_TUNING")
    yield Case("prompt", PromptTuningConfig(num_virtual_tokens=3, **SEQ), refuse="PROMPT_TUNING")
    yield Case("missing-tensor", lora(target_modules=q, **SEQ), edits=[without("layer.1.*query.lora_B")],
               refuse="missing")
    yield Case("wrong-rank", lora(target_modules=q, **SEQ), edits=[rewrite_config(r=5)], refuse="expected")


# ---- what PEFT says ----


def make(case, bases, folder):
    torch.manual_seed(11)
    model = get_peft_model(case.model(bases), case.config)
    shake(model)
    model.save_pretrained(folder, **case.save)
    (folder / "README.md").unlink(missing_ok=True)
    for edit in case.edits:
        edit(folder)


def answers(case, bases, folder):
    """Probabilities [texts, classes] or None, and unit vectors [texts, features]."""
    tokenizer = AutoTokenizer.from_pretrained(case.base(bases))
    model = PeftModel.from_pretrained(case.model(bases), folder).eval()
    probabilities, vectors = [], []
    for text in TEXTS:
        batch = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            out = model(**batch, output_hidden_states=True)
        if case.head:
            probabilities.append(torch.softmax(out.logits[0].double(), 0))
        mean = out.hidden_states[-1][0].double().mean(0)
        vectors.append(mean / mean.norm())
    return torch.stack(probabilities) if case.head else None, torch.stack(vectors)


# ---- what libpeft says ----


class Program:
    def __init__(self, path, texts):
        self.path, self.texts = path, texts

    def __call__(self, *words):
        return subprocess.run([self.path, *map(str, words)], capture_output=True, text=True, timeout=120)

    def numbers(self, verb, *words):
        result = self(verb, "--input", self.texts, "--json", *words)
        if result.returncode:
            raise RuntimeError(result.stderr.strip())
        if "the settings leave out" in result.stderr:  # of nothing that PEFT writes
            raise RuntimeError(result.stderr.strip())
        document = json.loads(result.stdout)
        rows = document["embeddings"] if verb == "embed" else [list(row["probabilities"].values()) for row in document]
        return torch.tensor(rows, dtype=torch.float64)


def compare(what, expected, found, faults):
    difference = float((expected - found).abs().max()) if expected.shape == found.shape else math.inf
    if not difference <= TOLERANCE:
        faults.append(f"{what}: differs by {difference:.3g}")
    return difference


def attempt(faults, what, action):
    try:
        return action()
    except Exception as failure:
        faults.append(f"{what}: {failure}")
        return None


def check(case, bases, program, scratch):
    """Faults as a list of texts, and the largest difference."""
    folder, base, faults, worst = scratch / "adapter", case.base(bases), [], 0.0
    make(case, bases, folder)
    verb = "predict" if case.head else "embed"
    if case.refuse:
        result = program(verb, "--model", base, "--adapter", folder, "--text", TEXTS[0])
        if not 1 <= result.returncode <= 4 or len(result.stderr.strip().splitlines()) != 1:
            faults.append(f"expected a refusal in one line, found exit status {result.returncode}: {result.stderr}")
        elif not re.search(case.refuse, result.stderr):
            faults.append(f"message lacks {case.refuse}: {result.stderr.strip()}")
        return faults, worst
    probabilities, vectors = answers(case, bases, folder)
    expected = {"predict": probabilities, "embed": vectors}
    for v in ("predict", "embed") if case.head else ("embed",):
        found = attempt(faults, v, lambda: program.numbers(v, "--model", base, "--adapter", folder))
        if found is not None:
            worst = max(worst, compare(v, expected[v], found, faults))
    result = program("merge", "--model", base, "--adapter", folder, "--output", scratch / "merged", "--verify")
    if (result.returncode == 0) != case.merges:
        faults.append(f"merge: exit status {result.returncode}: {result.stderr.strip()}")
    elif case.merges:
        found = attempt(faults, verb + " merged", lambda: program.numbers(verb, "--model", scratch / "merged"))
        if found is not None:
            worst = max(worst, compare("merged", expected[verb], found, faults))
    result = program("convert", "--model", base, "--adapter", folder, "--output", scratch / "lora")
    if result.returncode and not re.search(r"no low-rank sum", result.stderr):
        faults.append(f"convert: {result.stderr.strip()}")
    elif not result.returncode:
        found = attempt(faults, verb + " converted",
                        lambda: program.numbers(verb, "--model", base, "--adapter", scratch / "lora"))
        if found is not None:
            worst = max(worst, compare("converted", expected[verb], found, faults))
        again = attempt(faults, "PEFT, converted", lambda: answers(case, bases, scratch / "lora"))
        if again is not None:
            worst = max(worst, compare("converted, in PEFT", expected[verb], again[0 if case.head else 1], faults))
    result = program("inspect", folder)
    if result.returncode:
        faults.append(f"inspect: {result.stderr.strip()}")
    return faults, worst


def main():
    program_path, wanted = str(Path(sys.argv[1]).resolve()), set(sys.argv[2:])
    tried, faulty, refused, worst = 0, 0, 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        bases = {(kind, head): make_base(kind, scratch / kind / f"head-{head}", classes) for kind in SIZES
                 for head, classes in ((True, AutoModelForSequenceClassification), (False, AutoModel))}
        texts = scratch / "texts.txt"
        texts.write_text("\n".join(TEXTS) + "\n")
        program = Program(program_path, texts)
        for case in cases():
            if wanted and case.name not in wanted:
                continue
            tried += 1
            refused += case.refuse is not None
            place = scratch / case.name
            place.mkdir()
            try:
                faults, difference = check(case, bases, program, place)
            except Exception as failure:  # of PEFT itself
                faults, difference = [f"PEFT: {type(failure).__name__}: {failure}"], 0.0
            worst = max(worst, difference)
            if faults:
                faulty += 1
                print(f"{case.name}:", *("    " + fault[:400] for fault in faults), sep="\n", flush=True)
    print(f"{tried} adapters: {tried - refused} to be read, {refused} to be refused; {faulty} with faults; "
          f"largest difference {worst:.2g}")
    sys.exit(1 if faulty else 0)


if __name__ == "__main__":
    main()
