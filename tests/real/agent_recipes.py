# SPDX-License-Identifier: GPL-2.0-or-later
"""How real agents of Debian are run on a test's machine: parameters, what has to be there before, how to break them.

`{d}` is a directory of the run. Everything happens in namespaces of the run's own (network, mounts, processes): see
`tests.real.debian_agents`. Programs that Debian's packages bring are looked for; an agent whose program is absent is
reported with what it says itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Recipe:
    """`prepare` runs once as root, before the cluster starts; `damage` makes the running resource fail."""

    provider: str
    agent: str
    parameters: dict[str, str] = field(default_factory=dict)
    prepare: str = ":"
    damage: str = ""
    needs: tuple[str, ...] = ()
    """Programs without which the recipe is not tried."""

    @property
    def name(self) -> str:
        return f"{self.provider}-{self.agent}"


def _killed(pid_file: str) -> str:
    """The process of a pid file, and all of its session: workers would hold the port."""
    return f"pkill -9 -s $(ps -o sid= -p $(head -n 1 {pid_file} | cut -d ' ' -f 1))"


def heartbeat(agent: str, damage: str, prepare: str = ":", needs: str = "", **parameters: str) -> Recipe:
    return Recipe("heartbeat", agent, parameters, prepare, damage, tuple(needs.split()))


def pacemaker(agent: str, damage: str, prepare: str = ":", **parameters: str) -> Recipe:
    return Recipe("pacemaker", agent, parameters, prepare, damage)


EVERYWHERE_RSCTMP = "for t in {d}/p/n*/run/heartbeat/rsctmp; do "

RECIPES: tuple[Recipe, ...] = (
    # Without anything but the agents themselves
    heartbeat("Dummy", "rm -f {d}/dummy", state="{d}/dummy"),
    heartbeat("Stateful", "rm -f {d}/stateful", state="{d}/stateful"),
    heartbeat("Delay", EVERYWHERE_RSCTMP + "rm -f $t/Delay-heartbeat-Delay*; done",
              startdelay="0", stopdelay="0", mondelay="0"),
    heartbeat("anything", _killed("{d}/anything.pid"), binfile="/bin/sleep", cmdline_options="100000",
              pidfile="{d}/anything.pid"),
    heartbeat("symlink", "rm -f {d}/link", "touch {d}/target", link="{d}/link", target="{d}/target"),
    heartbeat("ClusterMon", _killed("{d}/clustermon.pid"), pidfile="{d}/clustermon.pid", htmlfile="{d}/clustermon.html",
              update="60000"),
    heartbeat("MailTo", "", "mkdir -p {d}/bin", "mail", email="root"),
    heartbeat("AudibleAlarm", "", nodelist="n9"),
    heartbeat("SysInfo", ""),
    heartbeat("dummypy", "rm -f {d}/dummypy", state="{d}/dummypy"),
    pacemaker("Dummy", "rm -f {d}/pdummy", state="{d}/pdummy"),
    pacemaker("Stateful", "rm -f {d}/pstateful", state="{d}/pstateful"),
    pacemaker("ClusterMon", _killed("{d}/pclustermon.pid"), pidfile="{d}/pclustermon.pid",
              htmlfile="{d}/pclustermon.html"),
    pacemaker("SysInfo", "rm -f {d}/psysinfo", pidfile="{d}/psysinfo", delay="1s"),
    pacemaker("attribute", "for t in {d}/p/n*/run/heartbeat/rsctmp; do rm -f $t/opa-*; done; rm -f {d}/attribute.state",
              name="proof", active_value="1", inactive_value="0"),
    pacemaker("ping", "rm -f {d}/pingd", host_list="10.99.0.1", pidfile="{d}/pingd", dampen="1s"),
    pacemaker("HealthCPU", "rm -f {d}/healthcpu", state="{d}/healthcpu"),
    pacemaker("HealthIOWait", "rm -f {d}/healthio", state="{d}/healthio"),
    pacemaker("ifspeed", "rm -f {d}/ifspeed", iface="br0", state="{d}/ifspeed"),
    # The network of the run's own namespace
    heartbeat("IPaddr2", "ip addr del 10.99.0.50/24 dev br0", ip="10.99.0.50", nic="br0", cidr_netmask="24"),
    heartbeat("IPaddr", "ip addr del 10.99.0.51/24 dev br0", needs="ifconfig", ip="10.99.0.51", nic="br0",
              cidr_netmask="24"),
    heartbeat("IPv6addr", "ip -6 addr del fd00:99::50/64 dev br0", ipv6addr="fd00:99::50", nic="br0",
              cidr_netmask="64"),
    heartbeat("Route", "ip route del 10.98.0.0/16", destination="10.98.0.0/16", device="br0"),
    heartbeat("IPsrcaddr", "ip route replace default via 10.99.0.254 dev br0", ipaddress="10.99.0.1",
              cidr_netmask="24"),
    heartbeat("iface-bridge", "ip link del br7", bridge_name="br7"),
    heartbeat("portblock", "iptables -F INPUT", needs="iptables", protocol="tcp", portno="9999", action="block"),
    heartbeat("ethmonitor", "", interface="br0", link_status_only="true", repeat_count="1"),
    # File systems and exports
    heartbeat("Filesystem", "umount -l {d}/mnt", "mkdir -p {d}/mnt", device="tmpfs", directory="{d}/mnt",
              fstype="tmpfs"),
    heartbeat("exportfs", "exportfs -u 10.99.0.0/24:{d}/export", "mkdir -p {d}/export", "exportfs",
              clientspec="10.99.0.0/24", directory="{d}/export", fsid="7", options="rw"),
    heartbeat("iSCSITarget", "tgtadm --lld iscsi --op delete --mode target --tid 7 --force", "tgtd; sleep 1",
              "tgtd tgtadm", implementation="tgt", iqn="iqn.2020-01.test:proof", tid="7"),
    # Servers
    heartbeat("apache", _killed("{d}/apache.pid"),
              "mkdir -p {d}/www; echo ok >{d}/www/index.html; printf '%s\\n' 'ServerRoot /etc/apache2' "
              "'PidFile {d}/apache.pid' 'Listen 127.0.0.1:8081' 'ServerName proof' 'ErrorLog {d}/apache.log' "
              "'LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so' "
              "'LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so' "
              "'LoadModule status_module /usr/lib/apache2/modules/mod_status.so' 'User www-data' 'Group www-data' "
              "'DocumentRoot {d}/www' '<Location /server-status>' 'SetHandler server-status' '</Location>' "
              ">{d}/apache.conf; chmod 755 {d}", "apache2",
              configfile="{d}/apache.conf", httpd="/usr/sbin/apache2", statusurl="http://127.0.0.1:8081/server-status",
              envfiles="/dev/null"),
    heartbeat("nginx", _killed("{d}/nginx.pid"),
              "mkdir -p {d}/ngx; printf '%s\\n' 'pid {d}/nginx.pid;' 'error_log {d}/nginx.log;' 'events {{ }}' "
              "'http {{ access_log off; server {{ listen 127.0.0.1:8082; root {d}/ngx; }} }}' >{d}/nginx.conf", "nginx",
              configfile="{d}/nginx.conf", httpd="/usr/sbin/nginx"),
    heartbeat("mysql", _killed("{d}/mysql/pid"),
              "mkdir -p {d}/mysql; chown mysql {d}/mysql; mysql_install_db --user=mysql --datadir={d}/mysql/data "
              "--skip-test-db >/dev/null; printf '[mysqld]\\nport=13306\\n' >{d}/my.cnf",
              "mysqld_safe mysql_install_db",
              datadir="{d}/mysql/data", pid="{d}/mysql/pid", socket="{d}/mysql/socket", log="{d}/mysql/log",
              config="{d}/my.cnf"),
    heartbeat("redis", _killed("{d}/redis/redis-server.pid"),
              "mkdir -p {d}/redis; chown redis {d}/redis; printf '%s\\n' 'port 16379' 'dir {d}/redis' 'daemonize yes' "
              "'pidfile {d}/redis/redis-server.pid' 'unixsocket {d}/redis/redis.sock' >{d}/redis.conf", "redis-server",
              config="{d}/redis.conf", rundir="{d}/redis", port="16379"),
    heartbeat("Squid", _killed("{d}/squid/squid.pid"),
              "mkdir -p {d}/squid; chown proxy {d}/squid; printf '%s\\n' 'http_port 127.0.0.1:13128' "
              "'pid_filename {d}/squid/squid.pid' 'cache_log {d}/squid/log' 'access_log none' 'cache deny all' "
              "'coredump_dir {d}/squid' >{d}/squid.conf", "squid netstat",
              squid_exe="/usr/sbin/squid", squid_conf="{d}/squid.conf", squid_pidfile="{d}/squid/squid.pid",
              squid_port="13128"),
    heartbeat("named", _killed("{d}/named/pid"),
              "mkdir -p {d}/named; chown bind {d}/named; chmod 755 {d}; printf '%s\\n' "
              "'options {{ directory \"{d}/named\"; "
              "pid-file \"{d}/named/pid\"; listen-on {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; }}; "
              "zone \"localhost\" {{ type master; file \"/etc/bind/db.local\"; }};' >{d}/named.conf", "named host",
              named_config="{d}/named.conf", named_pidfile="{d}/named/pid", named_user="bind"),
    heartbeat("dhcpd", _killed("{d}/dhcpd.pid"),
              "touch {d}/leases; chmod 755 {d}; printf '%s\\n' 'subnet 10.99.0.0 netmask 255.255.255.0 {{ }}' "
              ">{d}/dhcpd.conf",
              "dhcpd", config="{d}/dhcpd.conf", chrooted="false", chrooted_path="{d}", leases="/leases",
              pid="{d}/dhcpd.pid", user="root",
              group="root", interface="br0"),
    heartbeat("slapd", _killed("{d}/slapd.pid"),
              "mkdir -p {d}/ldap; printf '%s\\n' 'pidfile {d}/slapd.pid' 'modulepath /usr/lib/ldap' "
              "'moduleload back_mdb' "
              "'database mdb' 'suffix dc=test' 'directory {d}/ldap' >{d}/slapd.conf", "slapd ldapsearch",
              config="{d}/slapd.conf", pidfile="{d}/slapd.pid", services="ldap://127.0.0.1:1389/"),
    heartbeat("rsyncd", _killed("{d}/rsyncd.pid"),
              "printf 'pid file = {d}/rsyncd.pid\\nport = 10873\\n' >{d}/rsyncd.conf",
              "rsync", conffile="{d}/rsyncd.conf"),
    heartbeat("varnish", _killed("{d}/varnish.pid"),
              "printf '%s\\n' 'vcl 4.0;' 'backend default {{ .host = \"127.0.0.1\"; .port = \"8081\"; }}' >{d}/v.vcl; "
              "chmod 755 {d}; head -c 32 /dev/urandom >{d}/v.secret; chmod 644 {d}/v.secret", "varnishd",
              config="{d}/v.vcl", name="proof", pid="{d}/varnish.pid", listen_address="127.0.0.1:8083",
              mgmt_address="127.0.0.1:8084", backend_size="1M", maxfiles="1024", max_locked_memory="64",
              secret="{d}/v.secret"),
    heartbeat("rsyslog", "kill -9 $(pgrep -f {d}/rsyslog.conf)", "printf '*.* {d}/syslog\\n' >{d}/rsyslog.conf",
              "rsyslogd",
              configfile="{d}/rsyslog.conf", rsyslog_binary="/usr/sbin/rsyslogd"),
    heartbeat("postfix", "kill -9 $(cat /var/spool/postfix/pid/master.pid)",
              "[ -e /etc/postfix/main.cf ] || cp /usr/share/postfix/main.cf.debian /etc/postfix/main.cf", "postfix"),
    heartbeat("Pure-FTPd", _killed("{d}/ftp.pid"), "chmod 755 {d}", "pure-ftpd", pidfile="{d}/ftp.pid",
              script="/usr/sbin/pure-ftpd-wrapper"),
)
