"""Published data sets: a file for each publisher's fields, which names its sets in SETS.

A set is one value (base.Published): where it lies, which of its files is which split, and how a row
in its publisher's fields is asked. To read one without the hub, fetch its file and name it as
`path`: `hf download HUB FILE --repo-type dataset --revision REVISION --local-dir DIRECTORY`.

No hub was reachable where this was written. Repositories, revisions, files and fields are as public
code and the hub's own pages have them; that each file lies at its revision was not tried.
"""

from importlib import import_module

from pipelines.datasets.published.base import Published

_FILES = (
    "gsm8k",
    "svamp",
    "sciq",
    "labeled",
    "winogrande",
    "reclor",
    "logiqa",
    "bbh",
    "math_qa",
    "gpqa",
    "math500",
    "aime",
    "mmlu_pro",
)
SETS: dict[str, Published] = {
    name: one for file in _FILES for name, one in import_module(f"{__name__}.{file}").SETS.items()
}
