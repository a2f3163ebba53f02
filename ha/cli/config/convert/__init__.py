# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha config convert`: configurations of other times and of other cluster managers into ours, and back.

model            what a conversion hands back: files, and remarks on what is not as it was
haresources      haresources and ha.cf => a CIB and an ha.cf with a CRM
agent_arguments  what the arguments of a resource.d script are called by the OCF agent of the same name
corosync_conf    reading corosync.conf
corosync         corosync.conf => ha.cf
older_cib        a CIB of an older schema => the present words
dtd_cib          a CIB of before 1.0 => the words of 1.0
pacemaker        our CIB => one that Pacemaker accepts
command          the command line
"""
