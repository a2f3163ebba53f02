# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of resources: one file, one class each. Importing this folder makes them known."""

from ha.pe.core.kinds.bundle import Bundle
from ha.pe.core.kinds.clone import Clone
from ha.pe.core.kinds.group import Group
from ha.pe.core.kinds.primitive import Primitive

__all__ = ["Bundle", "Clone", "Group", "Primitive"]
