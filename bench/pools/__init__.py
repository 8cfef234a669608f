"""The pool beside other pools of processes: the same calls to each, in a fresh interpreter for each measurement."""

Values = dict[str, list[float]]  # figure -> what was measured
WITHIN = 20.0  # seconds for one result, where nothing kills
