# SPDX-License-Identifier: GPL-2.0-or-later
"""Man pages and shell completion, made from the commands' own parsers: `ha docs`, which `make install` calls.

content      every command with its options and words, from argparse or click
man_page     as troff, see man(7)
completion   as functions for bash
commands     `ha docs`

One layout for the parsers of two libraries; argparse-manpage, click-man and shtab would be three, with three layouts.
"""
