# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.unit.pe.options_table`: writes docs/options.md from the table that the policy engine reads."""

from __future__ import annotations

from pathlib import Path

from ha.pe.model.options import OPTIONS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "options.md"
HEAD = """# Cluster options

What `crm_config` in the CIB may set, as far as the policy engine heeds it. A value that is not allowed counts as
absent. Times are numbers with `ms`, `s`, `min` or `h` (seconds without), or ISO 8601 durations. The older name is
accepted where the present one is not set. This page is made from `ha/pe/model/options.py` by
`python -m tests.unit.pe.options_table`; a test compares the two.

| option | default | unit | older name | meaning |
|---|---|---|---|---|
"""


def document() -> str:
    rows = []
    for option in OPTIONS.values():
        default = f"`{option.default}`" if option.default else "(none)"
        older = f"`{option.older_name}`" if option.older_name else ""
        meaning = option.meaning[:1].upper() + option.meaning[1:].replace("|", "\\|")
        rows.append(f"| `{option.name}` | {default} | {option.unit} | {older} | {meaning} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
