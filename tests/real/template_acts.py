"""What the workers of the tests of templates do: modules, by name, to be written where a template finds them."""

MODULE = """
import json, os, random, resource, signal, sys, time

def plain(number=1):
    print("number", number)

def hearty(heart):
    heart.ready("up")
    while not heart.wait(30):
        pass
    print("stopped well")

def tell():
    drawn = [float(sys.modules["numpy.random"].random())] if "numpy.random" in sys.modules else []
    print(json.dumps({
        "umask": os.umask(0), "cwd": os.getcwd(), "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "cpus": sorted(os.sched_getaffinity(0)),
        "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
        "env": dict(os.environ), "fds": [fd for fd in range(100) if os.path.lexists(f"/proc/self/fd/{fd}")],
        "sid": os.getsid(0), "pid": os.getpid(),
        "rttime": resource.getrlimit(15)[0], "parent": os.getppid(),
        "sigint": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "argv": sys.argv, "drawn": drawn,
        "random": random.random(), "dumpable": os.stat("/proc/self/environ").st_uid == os.getuid()}))

def give(how):
    if how == "raise": raise ValueError("as asked")
    if how == "exit": sys.exit(7)
    if how == "sentence": sys.exit("a sentence")
    if how == "interrupt": raise KeyboardInterrupt
    if how == "segfault":
        import ctypes; ctypes.string_at(0)
    if how == "quit": exit(4)
    if how == "thread":
        import threading, atexit
        atexit.register(print, "at exit")
        threading.Thread(target=lambda: (time.sleep(0.05), print("thread done"))).start()
    return {"seven": 7, "true": True, "text": "x"}.get(how)

def children():
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(abs, [-1, -2]))
"""
PREPARED = """
made = []
def prepare(heart): made.append(heart.name)
def main(heart, word):
    import os
    heart.ready()
    print(made, heart.name, heart.replica, os.environ["NINELIVES_NAME"], os.environ["ADDED"], word)
"""
CROWDED = """
import os, resource
os.dup2(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 2, inheritable=False)
"""
THREADED = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"

MODULES = {"odd": MODULE, "prepared": PREPARED, "threaded": THREADED, "broken": "1 / 0\n", "crowded": CROWDED}
