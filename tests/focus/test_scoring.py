import math

import pytest
import torch
from torch import nn

from dynfocus.focus.scoring import QuestionContext, ScoreNetwork
from dynfocus.focus.settings import FocusSettings


def test_paper_network_has_three_layers() -> None:
    network = ScoreNetwork(2 * 8, 8)
    sizes = [
        layer.weight.shape for layer in network.layers if isinstance(layer, nn.Linear)
    ]
    assert sizes == [(8, 16), (4, 8), (1, 4)]


def test_question_context_equals_the_literal_loop() -> None:
    torch.manual_seed(1)
    context = QuestionContext(6, 5).double()
    events = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    spatial = torch.randn(2, 3, 2, 6, dtype=torch.float64)
    text = torch.randn(2, 4, 5, dtype=torch.float64)
    text_mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    result = context(events, spatial, text, text_mask)
    for entry, count in enumerate((4, 2)):
        question = sum(context.question_projector(text[entry, j]) for j in range(count))
        for slot in range(3):
            tokens = torch.cat([events[entry, slot], spatial[entry, slot]])
            attended = torch.zeros(6, dtype=torch.float64)
            for j in range(count):
                query = context.query_projector(text[entry, j])
                logits = [
                    (query @ context.key_projector(token)).item() / math.sqrt(6)
                    for token in tokens
                ]
                total = sum(math.exp(value) for value in logits)
                for value, token in zip(logits, tokens, strict=True):
                    attended += math.exp(value) / total * token / count
            wanted = torch.cat([attended, attended * question / count])
            torch.testing.assert_close(result[entry, slot], wanted)


def test_question_context_needs_text() -> None:
    with pytest.raises(ValueError, match="text must be given .* got None"):
        QuestionContext(4, 4)(torch.zeros(1, 2, 3, 4), None, None, None)


def test_settings_know_both_networks() -> None:
    assert FocusSettings.paper().score_network == "mlp"
    assert FocusSettings.official().score_network == "global"
