# Runs inside boot.sh: the system unit, sandbox and all, on a real PID 1. Prints `name=value` lines that the test reads.
set -u
. "$PROJECT/tests/system/unit.sh"
printf '[workers.sleeper]\ncommand = ["sleep", "1000"]\nreplicas = 2\n' > $config
systemctl daemon-reload

show() { systemctl show --value -p "$1" $unit; }
wait_for() { for _ in $(seq 200); do "$@" && return; sleep 0.1; done; echo "timeout=$*"; return 1; }
sleepers() { pgrep -x sleep -a | awk '$3 == 1000 {print $1}' | sort | xargs; }
restarted() { [ "$(show NRestarts)" = "$1" ] && [ "$(show ActiveState)" = active ]; }

systemctl start $unit; echo "start=$?"
echo "status=$(show StatusText)"
group=/sys/fs/cgroup$(show ControlGroup)
echo "controllers=$(cat "$group/cgroup.controllers")"
main=$(show MainPID); before=$(sleepers)

printf '[workers.third]\ncommand = ["sleep", "1000"]\n' >> $config
systemctl reload $unit; echo "reload_good=$?"
echo "sleepers=$(sleepers | wc -w)"
echo 'nonsense = 1' >> $config
systemctl reload $unit 2>/dev/null; echo "reload_bad=$?"
echo "still=$(show ActiveState)"
[ "$(show MainPID)" = "$main" ] && echo same_main=yes

sed -i '$d' $config
before=$(sleepers)
kill -9 "$main"
wait_for restarted 1 && echo restarted=yes
for pid in $before; do kill -0 "$pid" 2>/dev/null && echo "left=$pid"; done
echo "sleepers_again=$(sleepers | wc -w)"

kill -9 "$(sleepers | cut -d' ' -f1)"
journalctl -q --sync
ended() { journalctl -q --sync; journalctl -u $unit -o json --no-pager | grep -q 'worker.ended'; }
wait_for ended
journalctl -u $unit -o json --no-pager > /run/out/journal
systemctl stop $unit; echo "stop=$?"
echo "result=$(show Result)"
echo "after=$(sleepers | wc -w)"
