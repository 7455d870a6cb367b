from __future__ import annotations

import subprocess
import sys

from dynfocus.world import make_video

PROGRAM = """
import sys
from dynfocus.cli.startup import import_lightly
import_lightly()
from transformers import AutoModelForCausalLM, LlamaConfig
assert type(sys.modules["torch._dynamo"]).__name__ == "_DeferredCompiler"
import torch
model = AutoModelForCausalLM.from_config(LlamaConfig(
    vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2))
ids = torch.arange(4)[None]
plain = model(input_ids=ids).logits
"""

AFTERWARDS = {
    "compiling": """
compiled = torch.compile(model, backend="eager")
assert torch.allclose(compiled(input_ids=ids).logits, plain)
""",
    "a submodule of the compiler": """
from torch._dynamo.backends.registry import lookup_backend
assert callable(lookup_backend("eager"))
""",
    "a marker": """
import torch._dynamo
assert torch._dynamo.allow_in_graph(len) is len
assert type(torch._dynamo).__name__ == "_DeferredCompiler"
assert torch._dynamo.is_compiling() is False
assert type(sys.modules["torch._dynamo"]).__name__ == "module"
""",
    "sharding of our own": """
assert torch.distributed.is_available()
import torch.distributed.tensor
""",
}


IN_TURN = f"""
import os, traceback
for use, program in {AFTERWARDS!r}.items():
    child = os.fork()  # each finds the compiler put off, and the imports are paid once
    if child == 0:
        try:
            exec(program, globals())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, use
"""


def test_what_was_put_off_is_there_as_soon_as_it_is_used():
    subprocess.run([sys.executable, "-c", PROGRAM + IN_TURN], check=True)


def test_a_question_of_nano_needs_neither_the_compiler_nor_what_it_imports(tmp_path):
    video = tmp_path / "minute.mp4"
    make_video(video, duration=20.0, seed=0)
    program = f"""
import sys
from dynfocus.cli import main
assert main(["ask", {str(video)!r}, "Does a red star appear?"]) == 0
assert "sympy" not in sys.modules
assert type(sys.modules["torch._dynamo"]).__name__ == "_DeferredCompiler"
"""
    subprocess.run([sys.executable, "-c", program], check=True)
