# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha explain`: why a resource is where it is, why not elsewhere, and the smallest change that would move it.

`trial` decides on a CIB and says where things end up, `account` puts the engine's reasons into words, `changes` lists
what an operator could change, `search` tries that on copies of the CIB.
"""
