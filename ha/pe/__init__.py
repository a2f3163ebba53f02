# SPDX-License-Identifier: GPL-2.0-or-later
"""Policy engine: decides what runs where.

`model` knows the values (scores, options, rules, nodes, resources, actions), `core` decides (one file per noun, in the
order of `core.stages`), `msg` says what the crmd asks and hears, `daemon` is the process. The entry for everyone in the
same process is `ha.pe.core.schedule`.
"""
