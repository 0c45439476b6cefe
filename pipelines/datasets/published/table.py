"""datasets/README.md's table of published sets: python -m pipelines.datasets.published.table"""

from pipelines.datasets.published import SETS

HEAD = """\
| set | use | on the hub | splits | public test split | fields | kind | licence |
|---|---|---|---|---|---|---|---|"""


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


if __name__ == "__main__":
    print(table())
