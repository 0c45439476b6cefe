"""The joint loss in one forward, against two plain forwards a row; masks; gradients."""

import pytest
import torch
from plain_loss import BETA, ETA, OMEGA, two_forwards

from pipelines.config import Config
from pipelines.method.losses import confidence_of, joint_loss
from pipelines.method.prompts import Prompts
from pipelines.training.loop import JointModel
from pipelines.training.micro_batches import collate, micro_batches


def row(prompt, response, target, turn=(7, 8, 9)):
    return {
        "prompt_ids": list(prompt),
        "response_ids": list(response),
        "turn_ids": list(turn),
        "target": target,
    }


ROWS = [
    row([1, 2, 3], [10, 11, 12, 13], 0.9),
    row([1, 2, 3, 4, 5], [20], 0.2),
    row([6], [30, 31], 0.76),
    row([1, 2], [40, 41, 42], 0.75),  # not above eta
]


def config(**train):
    return Config.model_validate(
        {
            "root": "r",
            "model": {"source": "builtin:smollm2-135m"},
            "data": {"train": [{"name": "capitals"}]},
            "train": {"lora": {"dropout": 0.0}, "dtype": "float32", **train},
        }
    )


@pytest.fixture(scope="module")
def module(tiny):
    from pipelines.training.lora import attach

    torch.manual_seed(1)
    made = JointModel(attach(tiny, config()), config(), Prompts.load(tiny))
    with torch.no_grad():  # a fresh adapter's B is zero, and so is A's gradient
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    return made


def gradients(module, loss):
    module.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def test_loss_and_gradients_equal_two_plain_forwards(module):
    ours = module(collate(ROWS, "cpu", ETA)).total
    theirs = two_forwards(module, ROWS)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    mine, plain = gradients(module, ours), gradients(module, theirs)
    assert mine.keys() == plain.keys()
    assert any("lora_A" in name for name in mine)
    for name in mine:
        torch.testing.assert_close(mine[name], plain[name], rtol=1e-3, atol=1e-6)
        assert float(mine[name].abs().max()) > 0


def test_micro_batches_weighed_by_rows_give_the_whole_batchs_loss(module):
    whole = module(collate(ROWS, "cpu", ETA)).total
    parts = micro_batches(ROWS, most_tokens=16)
    assert len(parts) > 1
    total = sum(module(collate(part, "cpu", ETA)).total * len(part) / len(ROWS) for part in parts)
    assert float(total) == pytest.approx(float(whole), rel=1e-5)


def test_padding_changes_nothing(module):
    alone = module(collate(ROWS[1:2], "cpu", ETA))
    long = row([1] * 40, [50] * 20, 0.1)
    padded = module(collate([ROWS[1], long], "cpu", ETA))
    long_alone = module(collate([long], "cpu", ETA))
    mean = (float(alone.calibration) + float(long_alone.calibration)) / 2
    assert float(padded.calibration) == pytest.approx(mean, rel=1e-5)


def test_the_cross_entropy_covers_exactly_the_responses():
    batch = collate(ROWS, "cpu", ETA)
    predicted = {}
    for r, c in batch["response"].tolist():
        predicted.setdefault(r, []).append(int(batch["ids"][r, c + 1]))
    assert predicted == {0: ROWS[0]["response_ids"], 2: ROWS[2]["response_ids"]}


def test_by_hand():
    confidence = torch.tensor([0.5, 0.9])
    target = torch.tensor([0.6, 0.9])
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75]]))
    loss = joint_loss(
        confidence, target, logits, torch.tensor([0, 0]), torch.tensor([1, 1]),
        omega=OMEGA, eta=ETA, beta=BETA,
    )  # fmt: skip
    ce = (0.6931472 + 1.3862944) / 2  # a mean over the tokens of row 1
    smooth = 0.5 * 0.1**2 / BETA / 2  # a mean over both rows
    assert float(loss.total) == pytest.approx(smooth + OMEGA * ce / 2, rel=1e-5)


def test_no_generation_example_in_a_batch(module):
    loss = module(collate([ROWS[1]], "cpu", ETA))
    assert float(loss.generation) == 0.0
    assert float(loss.total) == pytest.approx(float(loss.calibration))


@pytest.mark.parametrize("kind", ["yes", "yes_no", "yes_top20"])
def test_training_and_engine_read_the_same_confidence(smollm, kind):
    from pipelines.method.prompts import confidence

    prompts = Prompts.load(smollm)
    torch.manual_seed(0)
    logits = torch.randn(3, len(prompts.tokenizer)) * 3
    logits[:, prompts.yes_id] += 15
    got = confidence_of(logits, kind, prompts)
    for i in range(3):
        logprobs = logits[i].log_softmax(-1)
        by_id = dict(enumerate(logprobs.tolist()))
        assert float(got[i]) == pytest.approx(confidence(by_id, kind, prompts), rel=1e-4)
