"""A peer's side of the talk with the benchmark: one JSON object a line, requests on stdin, replies on stdout.

The same protocol as bench/engine/lines.ts: a hello first; then `prepare` gives the number of weights, `run` repeats the
prepared work so many times and gives the milliseconds that it took and the last loss. A peer that lacks a work says why.
Ends when stdin does.
"""

import json
import os
import sys
import time

import numpy as np


class Missing(Exception):
    """This peer cannot do that work; the message says why."""


def read_data(request, input_shape):
    """x: (samples, *input_shape), y: (samples, ...) float32. The files hold the same numbers for every peer; where a peer keeps
    its channels elsewhere, the same numbers are read in its own shape: they are noise, so nothing but the place changes."""
    x = np.fromfile(request["data"]["x"], dtype=np.float32).reshape(-1, *input_shape)
    y = np.fromfile(request["data"]["y"], dtype=np.float32)
    # An autoencoder's target has the shape of its input.
    return x, y.reshape(x.shape if x.size == y.size else (len(x), -1))


def serve(hello, prepare):
    """`prepare(request)` gives (number of weights, run), and `run(units)` the last loss or None."""
    # What the libraries print must not stand between the lines.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(reply):
        out.write(json.dumps(reply) + "\n")
        out.flush()

    say(hello)
    run = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                run = None
                parameters, run = prepare(request)
                say({"parameters": parameters})
            else:
                began = time.perf_counter()
                loss = run(request["units"])
                ms = (time.perf_counter() - began) * 1000
                say({"ms": ms, "loss": None if loss is None else float(loss)})
        except Missing as error:
            say({"missing": str(error)})
        except Exception as error:  # noqa: BLE001: whatever a library throws, the benchmark goes on with the others
            say({"missing": f"{type(error).__name__}: {error}"[:500]})
