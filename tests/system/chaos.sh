# Runs inside boot.sh: faults that take a machine of their own. What is seen is printed by chaos_guest.py, for the test.
set -u
unit=ninelives@demo.service
mkdir -p /run/etc/ninelives /run/systemd/system/$unit.d
cp /run/out/ninelives@.service /run/systemd/system/
printf '[Service]\nUser=root\nStateDirectory=\nExecStart=\nExecStart=%s run --name %%i /run/etc/ninelives/%%i.toml\n' \
    "$NINELIVES" > /run/systemd/system/$unit.d/guest.conf
case $PROJECT in  # PrivateTmp would hide it
    /tmp/* | /var/tmp/*) echo "BindReadOnlyPaths=$PROJECT" >> /run/systemd/system/$unit.d/guest.conf ;;
esac
systemctl daemon-reload
cd "$PROJECT" && exec "$PYTHON" -m tests.system.chaos_guest
