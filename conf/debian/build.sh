#!/bin/sh
# Makes the Debian package of a wheel: conf/debian/build.sh WHEEL SHARE OUT
#
# WHEEL is what pip built for Debian's Python, SHARE the folder with manual pages and completions, OUT takes the package.
# DEBFULLNAME and DEBEMAIL say whose package it is. A staged tree is packed by dpkg-deb: the libraries it depends on are found by dpkg-shlibdeps.
set -eu
umask 022

wheel=$1 share=$2 out=$3
conf=$(cd "$(dirname "$0")/.." && pwd)
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
stage=$top/debian/kavfs
packages=$stage/usr/lib/python3/dist-packages
version=$(basename "$wheel" | cut -d- -f2)
maintainer="${DEBFULLNAME:-kavfs} <${DEBEMAIL:-root@$(hostname)}>"
architecture=$(dpkg --print-architecture)

put() { # MODE FILE PLACE
    install -D -m "$1" "$2" "$stage/$3"
}

program() { # NAME MODULE
    printf '#!/usr/bin/python3 -I\nimport sys\n\nfrom %s import main\n\nsys.exit(main())\n' "$2" >"$top/program"
    put 0755 "$top/program" "usr/bin/$1"
}

mkdir -p "$packages"
python3 -m zipfile -e "$wheel" "$packages"
rm -rf "$packages"/*.dist-info # what pip asks for is not what Debian has
for program in aveclient smtpscanner; do
    put 0755 "$packages"/kavfs-*.data/scripts/$program usr/bin/$program
done
rm -r "$packages"/kavfs-*.data
find "$packages" "$stage/usr/bin" \( -name '*.so' -o -name aveclient -o -name smtpscanner \) \
    -exec strip --strip-unneeded --remove-section=.comment --remove-section=.note {} +
find "$stage" -type d -exec chmod 0755 {} +
find "$packages" -type f -exec chmod 0644 {} +
program kavscanner kavfs.cli.kavscanner
program kavfs kavfs.cli.kavfs
program kavfs-clamscan kavfs.cli.clamscan
program aveserver kavfs.cli.aveserver
program kavfs-smtpscanner kavfs.cli.smtpscanner
program kavfs-qmail-queue kavfs.cli.qmail_queue

cp -r "$share"/. "$stage/usr/share"
find "$stage/usr/share/man" -type f -exec gzip -9n {} +
find "$stage/usr/share" -type d -exec chmod 0755 {} +
find "$stage/usr/share" -type f -exec chmod 0644 {} +

put 0644 "$conf/kavfs.conf" etc/kavfs/kavfs.conf
put 0644 "$conf/logrotate.d/kavfs" etc/logrotate.d/kavfs
put 0644 "$conf/logrotate.d/kavfs-aveserver" etc/logrotate.d/kavfs-aveserver
for template in "$conf"/templates/*; do
    put 0644 "$template" "etc/kavfs/templates/$(basename "$template")"
done
mkdir -p "$stage/etc/kavfs/jobs"
for unit in "$conf"/systemd/*; do
    put 0644 "$unit" "lib/systemd/system/$(basename "$unit")"
done
put 0644 "$conf/sysusers.d/kavfs.conf" usr/lib/sysusers.d/kavfs.conf
put 0644 "$conf/tmpfiles.d/kavfs.conf" usr/lib/tmpfiles.d/kavfs.conf
put 0644 "$conf/cron/kavfs" usr/share/doc/kavfs/examples/cron

doc=$stage/usr/share/doc/kavfs
put 0644 "$conf/../README.md" usr/share/doc/kavfs/README.md
gzip -9nc "$conf/../CHANGELOG.md" >"$doc/changelog.gz"
{
    printf 'kavfs (%s-1) stable; urgency=medium\n\n  * What is new stands in changelog.gz.\n\n' "$version"
    printf ' -- %s  %s\n' "$maintainer" "$(LC_ALL=C date -uR -r "$conf/../CHANGELOG.md")"
} | gzip -9n >"$doc/changelog.Debian.gz"
{
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
    printf 'Upstream-Name: kavfs\n\nFiles: *\n%s\nLicense: Expat\n' "$(sed -n 's/^Copyright (c)/Copyright:/p' "$conf/../LICENSE")"
    sed '1,/^Copyright/d; 1d' "$conf/../LICENSE" | sed '/./,$!d; s/^$/./; s/^/ /'
} >"$doc/copyright"

mkdir -p "$stage/DEBIAN"
for script in postinst prerm postrm; do
    install -m 0755 "$conf/debian/$script" "$stage/DEBIAN/$script"
done
(cd "$stage" && find etc -type f -printf '/%p\n' | LC_ALL=C sort) >"$stage/DEBIAN/conffiles"
(cd "$stage" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$stage/DEBIAN/md5sums"
printf 'Source: kavfs\n\nPackage: kavfs\nArchitecture: any\n' >"$top/debian/control"
libraries=$(cd "$top" && find debian/kavfs \( -name '*.so' -o -name aveclient -o -name smtpscanner \) -printf '-e%p\n' | xargs dpkg-shlibdeps --warnings=0 -O |
    sed 's/^shlibs:Depends=//')
sed "s/@VERSION@/$version-1/; s/@MAINTAINER@/$maintainer/; s/@ARCHITECTURE@/$architecture/; s/@DEPENDS@/$libraries/; s/@SIZE@/$(du -sk "$stage" | cut -f1)/" \
    "$conf/debian/control.in" >"$stage/DEBIAN/control"
mkdir -p "$out"
dpkg-deb --root-owner-group -Zxz --build "$stage" "$out/kavfs_${version}-1_$architecture.deb"
