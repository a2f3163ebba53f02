# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_mon`: the state of the cluster, once or for as long as one looks.

command      options, live display
history      the operation history
text_report  for people
xml_report   for programs
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Who wants its reports alone, as crm_simulate does, does not wait for it."""
    from ha.cli.crm_mon.command import main as run

    return run(argv)
