"""Prints the scalars of a folder of TensorBoard event files as JSON: [tag, step, wall time, value].

    pip install tensorboard==2.21.0
    python test/oracles/read_tensorboard.py test/oracles/tensorboard > test/oracles/tensorboard/scalars.golden.json

The loader checks every record's CRCs; `purge_orphaned_data` is TensorBoard's own rule for restarted runs.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

accumulator = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}, purge_orphaned_data=True)
accumulator.Reload()
rows = [
    [tag, event.step, event.wall_time, event.value]
    for tag in sorted(accumulator.Tags()["scalars"])
    for event in accumulator.Scalars(tag)
]
print(json.dumps(rows, indent=1))
