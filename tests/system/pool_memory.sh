# Runs inside boot.sh: a program with a pool, in a unit whose control group (v2) may hold so much memory and no swap.
# OOMPolicy: systemd would stop the whole unit as soon as one process of it is killed for want of memory.
set -u
limit=$((160 << 20))
mkdir /run/marks
systemd-run --wait --quiet --pipe --working-directory="$PROJECT" \
    -p MemoryMax=$limit -p MemorySwapMax=0 -p OOMPolicy=continue -E PATH="$PATH" -E PYTHONDONTWRITEBYTECODE=1 \
    "$PYTHON" -m tests.system.pool_memory /run/marks $limit > /run/out/found.json
echo "exit=$?"
