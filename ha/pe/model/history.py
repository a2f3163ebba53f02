# SPDX-License-Identifier: GPL-2.0-or-later
"""An entry of the operation history, and the codes in it.

Sources: OCF resource agent API 1.1 (exit codes); Pacemaker's published execution status codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from ha.pe.model.node import Node
    from ha.pe.model.resource import Resource

OK = 0
INVALID_PARAMETER = 2
UNIMPLEMENTED = 3
INSUFFICIENT_PRIVILEGES = 4
NOT_INSTALLED = 5
NOT_CONFIGURED = 6
NOT_RUNNING = 7
RUNNING_PROMOTED = 8
FAILED_PROMOTED = 9
DEGRADED = 190
DEGRADED_PROMOTED = 191
UNKNOWN_RESULT = 193
"""Of an operation that is still under way."""
MAX_EXIT_CODE = 255


class Execution(IntEnum):
    """How an operation ended, apart from what the agent answered."""

    PENDING = -1
    DONE = 0
    CANCELLED = 1
    TIMEOUT = 2
    NOT_SUPPORTED = 3
    ERROR = 4
    ERROR_HARD = 5
    ERROR_FATAL = 6
    NOT_INSTALLED = 7
    NOT_CONNECTED = 8
    INVALID = 9
    NO_FENCE_DEVICE = 10
    NO_SECRETS = 11


@dataclass(slots=True)
class Recorded:
    """One operation as the text of the history has it. `execution` is None for an entry that tells nothing."""

    element: Element
    id: str
    key: str
    task: str
    interval_ms: int
    expected_exit_code: int
    exit_code: int
    execution: Execution | None
    masks_failure: bool
    """Whether it is a probe that found that the agent cannot work there, which is as good as "not running"."""
    finds_nothing: bool
    """Whether it is a plain probe that found the resource not running."""


@dataclass(slots=True)
class ResourceHistory:
    """What a node has done with one resource, oldest first.

    `agent` is the (type, class, provider) that did it, `span` what `core.history_facts.span_of` found.
    """

    id: str | None
    element: Element
    operations: list[Recorded]
    agent: tuple[str | None, str | None, str | None]
    span: tuple[int, int] | None = None


@dataclass(slots=True)
class Entry:
    """One operation of a resource that is known; exit code and execution are changed to what they amount to."""

    resource: Resource
    node: Node
    element: Element
    id: str
    key: str
    task: str
    interval_ms: int
    expected_exit_code: int
    exit_code: int
    execution: Execution
    masks_failure: bool
    """Whether it is a probe that found that the agent cannot work there, which is as good as "not running"."""
