# SPDX-License-Identifier: GPL-2.0-or-later
"""logd: takes every worker's log lines and is never waited for. Files, syslog, JSON lines on request."""
