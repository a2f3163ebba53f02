# SPDX-License-Identifier: GPL-2.0-or-later
"""What a ccm knows: its durable record (`state`), and the register of a tie-breaker (`register`)."""

from ha.ccm.model.state import STATE_LIMIT_BYTES, STATE_NAME, State, StateError, decode, encode, load

__all__ = ["STATE_LIMIT_BYTES", "STATE_NAME", "State", "StateError", "decode", "encode", "load"]
