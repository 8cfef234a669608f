# Runs inside boot.sh: faults that take a machine of their own. What is seen is printed by chaos_guest.py, for the test.
set -u
. "$PROJECT/tests/system/unit.sh"
systemctl daemon-reload
cd "$PROJECT" && exec "$PYTHON" -m tests.system.chaos_guest
