# SPDX-License-Identifier: GPL-2.0-or-later
"""`hb_takeover`: take groups of haresources from the other node."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ha.cli.hb_standby import request_parser, run


def parser() -> argparse.ArgumentParser:
    p = request_parser("hb_takeover", "Have the other node release groups, and take them here.")
    p.add_argument("--dead", metavar="NODE", help="the other node is lost, and you have made sure that it is off: take "
                   "what it may have run")  # fmt: skip
    return p


def main(argv: Sequence[str] | None = None) -> int:
    return run(parser(), argv)
