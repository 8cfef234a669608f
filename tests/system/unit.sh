# Sourced by what runs inside boot.sh: puts the system unit in place, as $unit with $config; to be loaded once that is written.
# Only User= is overridden: a guest with a read-only /etc cannot add one, and root without capabilities is as tame.
unit=ninelives@demo.service
config=/run/etc/ninelives/demo.toml
mkdir -p /run/etc/ninelives /run/systemd/system/$unit.d
cp /run/out/ninelives@.service /run/systemd/system/
printf '[Service]\nUser=root\nStateDirectory=\nExecStart=\nExecStart=%s run --name %%i /run/etc/ninelives/%%i.toml\n' \
    "$NINELIVES" > /run/systemd/system/$unit.d/guest.conf
case $PROJECT in  # PrivateTmp would hide it
    /tmp/* | /var/tmp/*) echo "BindReadOnlyPaths=$PROJECT" >> /run/systemd/system/$unit.d/guest.conf ;;
esac
