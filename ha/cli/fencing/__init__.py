# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha fencing`: whether the cluster could fence each node if it had to, proved beforehand.

    command   the command line     report  what is printed, as text, XML and JSON     arming  the option in the CIB
    history   what was fenced, as crm_mon and stonith_admin show it
"""
