"""datasets/README.md's tables of published sets: python -m pipelines.datasets.published.table"""

from pipelines.datasets.choices import with_list
from pipelines.datasets.published import SETS
from pipelines.datasets.published.base import ENDINGS

HEAD = """\
| set | use | on the hub | splits | public test split | fields | kind | licence |
|---|---|---|---|---|---|---|---|"""
HOW = """\
| kind | how a question of it ends |
|---|---|"""


def table() -> str:
    """Markdown, a line a set."""
    lines = [HEAD]
    for name, one in SETS.items():
        hub = f"[{one.hub}](https://huggingface.co/datasets/{one.hub})"
        cells = [
            f"`{name}`",
            one.use,
            f"{hub} {one.revision[:7]}",
            ", ".join(one.splits),
            one.public_test,
            ", ".join(f"`{field}`" for field in one.fields),
            one.kind,
            one.licence,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def how() -> str:
    """Markdown, a line a kind of answer: how sets of it are asked, line breaks as \\n."""
    lines = [HOW]
    for kind in sorted({one.kind for one in SETS.values()}):
        choices = with_list("", ("ice", "water")) if kind == "option" else ""
        ending = (choices + ENDINGS[kind]).strip(" ").replace("\n", "\\n")
        lines.append(f"| {kind} | `{ending}` |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(), how(), sep="\n\n")
