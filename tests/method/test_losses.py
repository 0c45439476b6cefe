"""The joint loss in one forward, against two plain forwards a row; masks; gradients."""

import pytest
import torch
from plain_loss import BETA, OMEGA, two_forwards

from pipelines.config import Config
from pipelines.method.losses import confidence_of, joint_loss
from pipelines.method.prompts import Prompts
from pipelines.training.joint_model import JointModel
from pipelines.training.micro_batches import collate, micro_batches


def row(prompt, response, task, target=0.0, weight=1.0, ended=True, turn=(2, 8, 9)):
    return {
        "task": task,
        "prompt_ids": list(prompt),
        "response_ids": list(response),
        "ended": ended,
        "key": (0,),
        "turn_ids": list(turn),
        "target": target,
        "weight": weight,
    }


ROWS = [
    row([1, 2, 3], [10, 11, 12, 13], "both", 0.9),
    row([1, 2, 3, 4, 5], [20], "calibration", 0.2, weight=2.5),
    row([6], [30, 31], "generation"),
    row([1, 2], [40, 41, 42], "calibration", 0.75, weight=0.5),
    row([1, 2, 5], [50, 51], "generation", ended=False),
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


def losses(module, rows):
    return module(collate(rows, "cpu", module.prompts.end_id))


def test_loss_and_gradients_equal_two_plain_forwards(module):
    ours = losses(module, ROWS).total / len(ROWS)
    theirs = two_forwards(module, ROWS)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    mine, plain = gradients(module, ours), gradients(module, theirs)
    assert mine.keys() == plain.keys()
    assert any("lora_A" in name for name in mine)
    for name in mine:
        torch.testing.assert_close(mine[name], plain[name], rtol=1e-3, atol=1e-6)
        assert float(mine[name].abs().max()) > 0


def test_micro_batches_add_up_to_the_whole_batch(module):
    whole = losses(module, ROWS)
    parts = micro_batches(ROWS, most_tokens=16)
    assert len(parts) > 1
    summed = torch.stack([torch.stack(losses(module, part)) for part in parts]).sum(0)
    torch.testing.assert_close(summed, torch.stack(whole), rtol=1e-5, atol=1e-7)


def test_padding_changes_nothing(module):
    long = row([1] * 40, [50] * 20, "calibration", 0.1)
    padded = losses(module, [ROWS[1], long]).calibration
    alone = losses(module, [ROWS[1]]).calibration + losses(module, [long]).calibration
    assert float(padded) == pytest.approx(float(alone), rel=1e-5)


@pytest.mark.parametrize("kind", ["yes", "yes_no", "yes_top20"])
def test_a_micro_batch_may_have_no_reply(kind, module):
    none = confidence_of(torch.zeros(0, 50_000), kind, module.prompts)
    assert none.shape == (0,)


def test_the_task_alone_decides_which_loss_a_row_has(module):
    """However sure its label is."""
    made = {task: losses(module, [row([1, 2], [7], task, 1.0)]) for task in TASKS}
    assert [float(made["calibration"].generation), float(made["generation"].calibration)] == [0, 0]
    assert float(made["both"].total) == pytest.approx(
        float(made["calibration"].total + made["generation"].total), rel=1e-5
    )
    assert all(float(one.total) > 0 for one in made.values())


TASKS = ("calibration", "generation", "both")


def test_a_weight_scales_the_calibration_loss_alone(module):
    one, three = (losses(module, [row([1, 2], [7], "both", 0.7, weight=w)]) for w in (1.0, 3.0))
    assert float(three.calibration) == pytest.approx(3 * float(one.calibration), rel=1e-5)
    assert float(three.generation) == pytest.approx(float(one.generation), rel=1e-5)


def test_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]]))
    loss = joint_loss(
        confidence=torch.tensor([0.5, 0.9]),
        target=torch.tensor([0.6, 0.8]),
        weight=torch.tensor([1.0, 2.0]),
        token_logits=logits,
        labels=torch.tensor([0, 0, 1]),
        share=torch.tensor([0.5, 0.5, 1.0]),  # two tokens of one response, one of another
        omega=OMEGA,
        beta=BETA,
    )
    assert float(loss.generation) == pytest.approx((0.6931472 + 1.3862944) / 2 + 2.3025851)
    assert float(loss.calibration) == pytest.approx(0.5 * 0.1**2 / BETA * 3)
    assert float(loss.total) == pytest.approx(float(loss.calibration + OMEGA * loss.generation))


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
