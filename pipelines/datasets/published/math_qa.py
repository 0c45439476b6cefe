"""MathQA (Amini et al. 2019, arXiv 1905.13319): word problems whose choices are one text.

"a ) 38 , b ) 27.675 , c ) 2 , 500 , d ) data inadequate , e ) none of these": a comma stands within
a number as between choices, so the choices are cut before the next letter alone.
"""

import re

from pipelines.datasets.choices import Choices
from pipelines.datasets.published.base import Asked, Published, option, text
from pipelines.datasets.records import Record
from pipelines.storage.text import short

_LETTERS = "abcde"


def ask(record: Record) -> Asked:
    choices = _choices(record)
    return option(record, text(record, "Problem"), choices, text(record, "correct"))


def _choices(record: Record) -> Choices:
    place, _ = record
    listed = text(record, "options")
    texts: list[str] = []
    of_list = listed.startswith("[")
    for letter in _LETTERS:  # each before the next, so that an "a )" within a choice is no label
        found = re.search(rf"(?:^|,)[\s\[\"']*{letter}\s*\)", listed)
        if found is None:
            break
        if texts:
            texts[-1] = listed[: found.start()]
        listed = listed[found.end() :]
        texts.append(listed)
    texts = [_bare(one, of_list) for one in texts]
    if len(texts) < 2 or not all(texts):
        raise ValueError(f"{place}: field 'options' lists no choices from a on")
    for at, one in enumerate(texts, start=1):
        labels = re.findall(rf"(?:^|[\s,])([{_LETTERS}])\s*\)", one)
        if any(label in _LETTERS[at:] for label in labels):
            told = f"choice {_LETTERS[at - 1]} holds another's label ({short(one)})"
            raise ValueError(f"{place}: field 'options': {told}")
    return Choices(tuple(texts), tuple(_LETTERS[: len(texts)]))


def _bare(text: str, of_list: bool) -> str:
    """A choice without what parts it from the next; of_list: as Python writes a list of texts."""
    text = text.strip(" ,")
    return re.sub(r"[\"'],?\s*\]?$", "", text) if of_list else text


SETS = {
    "math_qa": Published(
        use="evaluation",
        hub="allenai/math_qa",
        # Of the hub's branch of Parquet files, for its own has a program alone; as github
        # KavinSivaharan/Foundry and rwkv-rs/lighteval-rwkv pin it.
        revision="fafb9f7ee5b9ec4da9499f9c4177a4c91389f2d6",
        files={"train": "default/train/0000.parquet", "test": "default/test/0000.parquet"},
        public_test="test",
        fields=("Problem", "options", "correct"),
        ask=ask,
        kind="option",
        licence="Apache-2.0",
    )
}
