# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may speak to whom on a node: one table, enforced by the sockets, asserted by the simulator, drawn in the docs.

The lower module listens, the upper one dials, so that a worker that is started late finds its partner there.
"""

from __future__ import annotations

WORKERS: tuple[str, ...] = (
    "rmd", "apphbd", "logd", "heartbeat", "ccm", "cib", "stonithd", "lrmd", "attrd", "crmd", "pengine", "tengine",
)  # fmt: skip
"""Every process of a node with a CRM, in the order in which rmd starts them."""

WITHOUT_CRM: tuple[str, ...] = ("rmd", "apphbd", "logd", "heartbeat", "haresources")
"""Every process of a node in haresources mode."""

DIALS: dict[str, tuple[str, ...]] = {
    "rmd": (),
    "apphbd": (),
    "logd": (),
    "heartbeat": (),
    "ccm": ("heartbeat",),
    "cib": ("heartbeat", "ccm"),
    "stonithd": ("heartbeat", "ccm", "cib"),
    "lrmd": ("rmd", "stonithd"),
    "attrd": ("heartbeat", "ccm", "cib"),
    "crmd": ("rmd", "heartbeat", "ccm", "cib", "stonithd", "lrmd", "attrd"),
    "pengine": ("crmd",),
    "tengine": ("crmd",),
    "haresources": ("rmd", "heartbeat"),
}
"""dialler -> listeners. There is no link between pengine and tengine: they talk through the crmd."""

PROGRAMS_MAY_DIAL: frozenset[str] = frozenset(
    {"rmd", "apphbd", "logd", "heartbeat", "ccm", "cib", "stonithd", "lrmd", "attrd", "crmd", "haresources"}
)
"""Workers that answer programs (cibadmin, crm_mon ...). PE and TE answer the crmd alone."""


def allowed(dialler: str, listener: str) -> bool:
    """Whether the worker `dialler` may link to `listener`."""
    return listener in DIALS.get(dialler, ())


def linked(one: str, other: str) -> bool:
    """Whether two workers of a node ever speak, whoever dials."""
    return allowed(one, other) or allowed(other, one)
