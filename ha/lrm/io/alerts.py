# SPDX-License-Identifier: GPL-2.0-or-later
"""Alert agents as processes: which user they are, what they find in their environment.

Source: Pacemaker Explained, "Alerts": agents run as the cluster's user, CRM_alert_timestamp in the configured format
(strftime, and %N for nanoseconds, whose width says how many digits), the moment also as seconds and microseconds.
"""

from __future__ import annotations

import datetime
import re

from ha.lrm.model.execution import RunAlertAgent
from ha.runner.model import Job

ALERT_JOB_PREFIX = "alert-"
MAX_OUTPUT_BYTES = 4_096
MAX_TIMESTAMP_LENGTH = 256

_FRACTION = re.compile(r"%%|%([0-9]{0,2})N")


def timestamp(form: str, at_ms: int) -> str:
    """The moment (Unix time) in this node's time zone; without a usable form, in ISO 8601."""
    moment = datetime.datetime.fromtimestamp(at_ms // 1000, tz=datetime.UTC).astimezone()
    digits = f"{at_ms % 1000:03d}000000"
    plain = _FRACTION.sub(lambda m: m[0] if m[0] == "%%" else digits[: int(m[1] or 9)], form)
    try:
        text = moment.strftime(plain)
    except (ValueError, UnicodeError):
        text = moment.isoformat()
    return text[:MAX_TIMESTAMP_LENGTH]


def alert_job(request: RunAlertAgent, surroundings: dict[str, str], owner: tuple[int, int] | None, title: str) -> Job:
    """`owner`: (uid, gid) of the cluster's user when we are root on a machine's own node."""
    environment = {
        **surroundings,
        **request.environment,
        "CRM_alert_timestamp": timestamp(request.timestamp_format, request.at_ms),
        "CRM_alert_timestamp_epoch": str(request.at_ms // 1000),
        "CRM_alert_timestamp_usec": str(request.at_ms % 1000 * 1000),
    }
    return Job(
        id=request.job,
        argv=(request.path,),
        environment=environment,
        timeout_ms=request.timeout_ms,
        max_stdout_bytes=MAX_OUTPUT_BYTES,
        max_stderr_bytes=MAX_OUTPUT_BYTES,
        owner=owner,
        title=title,
    )
