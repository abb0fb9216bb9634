"""Postfix in a private system, as Debian's package sets it up for a site on the net."""

from __future__ import annotations

from tests.support.postfix import root_of_postfix
from tests.support.private_debian import HOST, System

_FILES = (
    "usr/lib/postfix usr/share/postfix usr/sbin/post* usr/sbin/sendmail usr/bin/mailq usr/bin/newaliases etc/postfix"
)
_SET_UP = """
useradd --system --home /var/spool/postfix postfix
groupadd --system postdrop
rm -f /usr/sbin/sendmail
( cd {root}; cp -a --parents {files} / )
mkdir -p /var/spool/postfix /var/lib/postfix
chown postfix: /var/lib/postfix
grep -v '^#' /usr/share/postfix/main.cf.debian > /etc/postfix/main.cf
cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
cp /usr/share/postfix/dynamicmaps.cf /etc/postfix
echo /usr/lib/postfix > /etc/ld.so.conf.d/postfix.conf
ldconfig
echo 'postmaster: root' > /etc/aliases
newaliases
postfix post-install create-missing
chgrp postdrop /usr/sbin/postdrop /usr/sbin/postqueue
chmod 2755 /usr/sbin/postdrop /usr/sbin/postqueue
"""
_SETTINGS = f"""
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
mydestination = $myhostname, {HOST}, localhost.example.org, localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
inet_protocols = all
maillog_file = /var/log/mail.log
always_bcc = anne@{HOST}
"""


def postfix_in(system: System) -> None:
    """Installed and running."""
    system.run(_SET_UP.format(root=root_of_postfix(), files=_FILES))
    main = system.path("/etc/postfix/main.cf")
    main.write_text(main.read_text() + _SETTINGS)
    start(system)


def start(system: System) -> None:
    """As its unit does."""
    system.run("/usr/lib/postfix/configure-instance.sh - && postfix start")
