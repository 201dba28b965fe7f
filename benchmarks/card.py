"""Prints the tables of a model card as Markdown, from an evaluation.

python -m facegan.evaluate weights=lite-28 out=outputs/lite-28 data.root=PATH data.verify=false
python benchmarks/card.py outputs/lite-28/evaluation.json
"""

import json
import sys
from pathlib import Path
from typing import Any

SHOWN = 6  # attributes at each end


def measures(report: dict[str, Any]) -> list[str]:
    lines = ["| metric | generated | uncertainty | real photographs |", "|---|---|---|---|"]
    for name, measure in report["measures"].items():
        spread = ""
        if measure["low"] is not None:
            spread = f"95%: {measure['low']:.3f} to {measure['high']:.3f}"
        elif measure["standard_error"] is not None:
            spread = f"standard error {measure['standard_error']:.4f}"
        label = name.replace("_", " ").replace("frechet", "Fréchet")
        lines.append(
            f"| {label} | {measure['value']:.4f} | {spread} | {measure['reference']:.4f} |"
        )
    return lines


def coverage(report: dict[str, Any]) -> list[str]:
    shares = report["coverage"]
    lines = ["| attribute | real | generated |", "|---|---|---|"]
    for share in [*shares[:SHOWN], *shares[-SHOWN:]]:
        name = share["name"].replace("_", " ")
        lines.append(f"| {name} | {share['reference']:.1%} | {share['generated']:.1%} |")
    return lines


def obedience(report: dict[str, Any]) -> list[str]:
    labels = (report.get("obedience") or {}).get("labels", [])
    if not labels:
        return []
    lines = ["| label | faces | photographs |", "|---|---|---|"]
    for label in sorted(labels, key=lambda label: -label["faces"]):
        name = label["name"].replace("_", " ")
        lines.append(f"| {name} | {label['faces']:.3f} | {label['photographs']:.3f} |")
    return ["", *lines]


def accuracies(about: dict[str, str]) -> list[str]:
    values = json.loads(about["test_accuracy"])
    lines = ["| attribute | test accuracy |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {value:.3f} |" for name, value in values.items()]
    mean = sum(values.values()) / len(values)
    return [*lines, f"| **mean** | **{mean:.4f}** |"]


def main(path: str) -> None:
    if path.endswith(".safetensors"):
        from facegan.core.pretrained import metadata

        print("\n".join(accuracies(metadata(path))))
        return
    report = json.loads(Path(path).read_text())
    print("\n".join([*measures(report), "", *coverage(report), *obedience(report)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
