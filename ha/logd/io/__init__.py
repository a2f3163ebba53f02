# SPDX-License-Identifier: GPL-2.0-or-later
"""What logd touches: the datagrams that come in (records), the files and the syslog that go out (outlets)."""
