#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# An alert agent: appends one line for each event to a file. The recipient is the file's absolute path.
#
#   <alert id="log" path="/etc/ha.d/alert_file.sh">
#     <meta_attributes id="log-meta">
#       <nvpair id="log-meta-form" name="timestamp-format" value="%Y-%m-%d %H:%M:%S.%03N"/>
#     </meta_attributes>
#     <recipient id="log-file" value="/var/log/heartbeat/alerts.log"/>
#   </alert>
#
# The instance attribute `kinds` (words of: node fencing resource attribute) leaves out all other kinds.

case ${CRM_alert_recipient:-} in
/*) ;;
*)
	echo "alert_file.sh: the recipient must be the absolute path of a file, not '${CRM_alert_recipient:-}'" >&2
	exit 1
	;;
esac

case " ${kinds:-$CRM_alert_kind} " in
*" $CRM_alert_kind "*) ;;
*) exit 0 ;;
esac

case $CRM_alert_kind in
node) text="node $CRM_alert_node is now ${CRM_alert_desc:-}" ;;
fencing) text="fencing of $CRM_alert_node: ${CRM_alert_desc:-}" ;;
resource)
	every=
	[ "${CRM_alert_interval:-0}" = 0 ] || every=" every $CRM_alert_interval ms"
	text="$CRM_alert_rsc: $CRM_alert_task$every on $CRM_alert_node: $CRM_alert_desc"
	[ "$CRM_alert_rc" = "$CRM_alert_target_rc" ] || text="$text (rc $CRM_alert_rc, expected $CRM_alert_target_rc)"
	;;
attribute) text="attribute $CRM_alert_attribute_name of $CRM_alert_node is now '$CRM_alert_attribute_value'" ;;
*) text="event of the unknown kind '$CRM_alert_kind'" ;;
esac

# One write of one line: several agents may run at once.
printf '%s %s\n' "$CRM_alert_timestamp" "$text" >>"$CRM_alert_recipient"
