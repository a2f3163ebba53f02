# SPDX-License-Identifier: GPL-2.0-or-later
"""What a CIB is divided into. Apart from the document, for tools that start often and look at one section."""

from __future__ import annotations

CONTAINERS = ("configuration", "status")
SECTIONS = (
    "crm_config", "nodes", "resources", "constraints", "rsc_defaults", "op_defaults", "fencing-topology", "acls",
    "tags", "alerts",
)  # fmt: skip
