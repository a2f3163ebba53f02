# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_simulate`: what the cluster would do, and how it would look afterwards.

options        the command line, and what is wrong with it
command        the order in which things are done
report         what is told: lines for people, elements for programs
status         how the cluster looks, in both forms
scores         the scores, as the engine reports them
summary        the transition in one item per resource
dot            the transition as a picture for Graphviz
play           the transition played against a copy of the CIB
injections     made-up events
edited_cib     the copy of the CIB, and how results get into it
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Sequence

from ha.pe.io.collector import paused_collector

# The interpreter's own look through everything at its end finds nothing either.
atexit.register(gc.freeze)


def main(argv: Sequence[str] | None = None) -> int:
    """The command, from its first import to its end without the garbage collector: it would look through the same
    modules and clusters a dozen times for a tenth of the time, and find nothing."""
    with paused_collector():
        from ha.cli.crm_simulate.command import run

        return run(argv)
