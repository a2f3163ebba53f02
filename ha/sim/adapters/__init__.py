# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of the modules' io adapters: each serves the requests that a production adapter of the same name serves.

Requests and outcomes are the modules' own (`ha.lrm.model.execution` ...), so the cores cannot tell the difference.
"""
