#!/bin/bash
# Boot a real systemd (PID 1, cgroup v2 with cpu, memory and pids) in user-mode Linux, run SCRIPT there as root.
#
#   boot.sh SCRIPT FOLDER      exits with SCRIPT's status; its output is in FOLDER/output, FOLDER is /run/out inside
#
# The machine's root file system is the guest's, and read-only twice: mounted so by the guest, and so for the process
# that is the guest. /tmp, /run and /var/{log,lib,tmp} are empty there, but for the folders in BOOT_KEEP.
# Variables for SCRIPT: BOOT_ENV="A=1 B=2".
# Needs root and Debian's packages user-mode-linux, systemd and dbus. Ten seconds to a minute, one CPU.
set -eu
script=$(realpath "$1"); out=$(realpath "$2")
if [ -z "${BOOT_INSIDE:-}" ]; then
    rm -f "$out/status"
    BOOT_INSIDE=1 timeout -k 1 "${BOOT_SECONDS:-120}" unshare -m -p -f --kill-child --mount-proc "$0" "$script" "$out" || true
    [ -f "$out/status" ] || { echo "boot: no status; see $out/console" >&2; exit 70; }
    exit "$(cat "$out/status")"
fi
mount --bind "$out" "$out"
mount -o remount,bind,ro /
work=$out/boot; mkdir -p "$work"; mount -t tmpfs tmpfs "$work"
cp "$script" "$work/script"
cat > "$work/init" <<INIT
#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run 2>/dev/null; mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/out
mount -t hostfs -o "$out" none /run/out
cp "$work/script" /run/script
for folder in /var/log /var/lib /var/tmp /tmp; do mount -t tmpfs tmpfs \$folder; done
for folder in ${BOOT_KEEP:-}; do
    [ -d \$folder ] || { mkdir -p \$folder && mount -r -t hostfs -o \$folder none \$folder; }
done
cat > /run/systemd/system/rig.target <<U
[Unit]
Requires=dbus.socket systemd-journald.service rig.service
After=systemd-journald.service
U
cat > /run/systemd/system/rig.service <<U
[Unit]
After=dbus.socket systemd-journald.service
[Service]
Type=oneshot
TimeoutStartSec=infinity
Environment=PATH=$PATH HOME=/root ${BOOT_ENV:-}
ExecStart=/bin/sh /run/rig.sh
U
cat > /run/rig.sh <<'S'
/bin/bash /run/script > /run/out/output 2>&1
echo \$? > /run/out/status
sync
systemctl poweroff -ff
S
exec /lib/systemd/systemd --unit=rig.target --show-status=0 --log-target=journal
INIT
chmod +x "$work/init"
HOME=$work TMPDIR=$work exec linux.uml panic=-1 root=/dev/root rootfstype=hostfs rootflags=/ ro mem=1G \
    init="$work/init" con=null con0=fd:0,fd:1 quiet </dev/null > "$out/console" 2>&1
