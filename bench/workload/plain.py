"""The worker everybody supervises: says on a datagram socket that it is ready, and waits to be killed.

plain.py BELL NAME      BELL: path of the socket. What it says: NAME PID CLOCK_MONOTONIC
"""

import os
import signal
import socket
import sys
import time

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
    bell.connect(sys.argv[1])
    bell.send(f"{sys.argv[2]} {os.getpid()} {time.monotonic()}".encode())
signal.pause()
