# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3: all constraints, in document order."""

from __future__ import annotations

from ha.pe.core.colocation import unpack_colocation
from ha.pe.core.location import unpack_location
from ha.pe.core.ordering import unpack_ordering
from ha.pe.core.tickets import unpack_ticket
from ha.pe.model.cluster import Cluster

_UNPACK = {
    "rsc_order": unpack_ordering,
    "rsc_colocation": unpack_colocation,
    "rsc_location": unpack_location,
    "rsc_ticket": unpack_ticket,
}


def read_constraints(cluster: Cluster) -> None:
    section = cluster.document.section("constraints")
    if section is None:
        return
    for element in section:
        unpack = _UNPACK.get(str(element.tag))
        if unpack is not None and element.get("id"):
            unpack(cluster, element)
