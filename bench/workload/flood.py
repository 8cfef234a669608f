"""Writes LINES lines of 100 bytes as fast as it can, numbered so that a lost one is found out, and waits.

flood.py BELL LINES     says the moment of the first line on the bell
"""

import os
import signal
import socket
import sys
import time

BLOCK = 500  # lines in one write; LINES is a multiple of it

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
    bell.connect(sys.argv[1])
    bell.send(f"flood {os.getpid()} {time.monotonic()}".encode())
filler = "x" * 89
for first in range(0, int(sys.argv[2]), BLOCK):
    block = "".join([f"{number:09} {filler}\n" for number in range(first, first + BLOCK)]).encode()
    while block:
        block = block[os.write(1, block) :]
signal.pause()
