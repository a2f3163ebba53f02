# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy engine's values: everything a decision is made of, and no decision."""
