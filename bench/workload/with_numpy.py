"""plain.py, but NumPy is imported first."""

import os
import runpy

import numpy as np

assert np.zeros(1).size == 1
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "plain.py"))
