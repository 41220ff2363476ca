"""Prints tests/variants/mora_goldens.h: MoRA's update as its authors' program computes it.

    git clone https://github.com/kongds/MoRA
    python3 tests/variants/mora_goldens.py MoRA/peft-mora/src/peft/tuners/lora/layer.py >tests/variants/mora_goldens.h

The function is taken out of the file, since its package wants an old PEFT. Needs torch."""
import ast, math, sys, types
import torch

TYPES = (1, 2, 3, 4, 6)
SIZES = ((12, 20, 2), (17, 10, 3), (24, 7, 1), (5, 9, 4))  # in, out, rank

text = open(sys.argv[1]).read()
layer = next(n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == 'LoraLayer')
apply = next(n for n in layer.body if isinstance(n, ast.FunctionDef) and n.name == '_apply_mora')
scope = {'torch': torch, 'math': math}
exec(compile(ast.Module([apply], []), sys.argv[1], 'exec'), scope)


def fill(count, step, shift):
    return (((torch.arange(count) * step + shift) % 61 - 30).double() / 64)


print('/* Written by tests/variants/mora_goldens.py. */')
print('static const struct {\n    const char *options;\n    int64_t in, out, rank;\n    float y[20];\n} goldens[] = {')
for type in TYPES:
    for size_in, size_out, rank in SIZES:
        n = int(math.sqrt((size_in + size_out) * rank) + 0.5)
        n = n // 2 * 2 if type == 6 else n
        M = torch.nn.Linear(n, n, bias=False).double()
        M.weight.data = fill(n * n, 37, 11).view(n, n)
        self = types.SimpleNamespace(in_features=size_in, out_features=size_out, r={'a': n}, mora_type={'a': type})
        y = scope['_apply_mora'](self, fill(size_in, 29, 5)[None], M, M, 1.0, 'a')[0].tolist()
        numbers = ', '.join(f'{v:.8g}F' if '.' in f'{v:.8g}' else f'{v:.8g}' for v in y)
        print(f'    {{"mora_type={type}", {size_in}, {size_out}, {rank}, {{{numbers}}}}},')
print('};')
