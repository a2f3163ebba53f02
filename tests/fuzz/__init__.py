# SPDX-License-Identifier: GPL-2.0-or-later
"""Every parser of what comes from outside, fed with spoilt pieces of its corpus.

    python -m tests.fuzz [--examples 100000] [--seed 1] [--target NAME] ...

A few hundred of each are part of `make test` (test_targets.py). What once broke a parser goes into its corpus.
"""
