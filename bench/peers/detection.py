"""Detectors that users know, on the rows that ours get. argv: library, folder, seeds joined by commas, seconds.

The folder has one folder a device with fit.npy, held.npy and test.npy, each (rows, channels) float32. A peer is fit on the first
alone and scores the other two; higher is stranger. Its scores go beside them as PEER-SEED-held.npy and PEER-SEED-test.npy, (rows).
A peer that takes more seconds of processor time for one device (0: as long as it likes) is asked no further.
On stdout one JSON object a line: the library's version, then a result for each peer, seed and device, or why there is none.
"""

import importlib.metadata
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np

# Rows until compiled code (numba's, torch's) has been seen.
WARM_UP_ROWS = 200


def main(library, folder, seeds, limit):
    # What the libraries print must not stand between the lines.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.filterwarnings("ignore")

    def late(*_):
        raise TimeoutError(f"more than {limit} s of processor time for one device")

    def say(reply):
        out.write(json.dumps(reply) + "\n")

    signal.signal(signal.SIGPROF, late)
    package, peers = LIBRARIES[library]
    say({"version": f"{package} {importlib.metadata.version(package)}"})
    for peer, (make, is_seeded) in peers.items():
        try:
            data = np.load(device_folders(folder)[0] / "fit.npy")[:WARM_UP_ROWS]
            warm = make(seeds[0])
            warm.fit(data)
            warm.score(data, data)
        except Exception as error:  # noqa: BLE001: its first device says it again, or it was the few rows
            print(error)
        todo = [(seed, device) for seed in (seeds if is_seeded else seeds[:1]) for device in device_folders(folder)]
        for seed, device in todo:
            of = {"peer": peer, "seed": seed, "device": device.name}
            signal.setitimer(signal.ITIMER_PROF, limit)
            try:
                say({**of, **measure(make(seed), device, f"{peer}-{seed}")})
            except Exception as error:  # noqa: BLE001: whatever a library throws, the others go on
                say({**of, "missing": f"{type(error).__name__}: {error}"[:300]})
                # Means of fewer devices are not asked for.
                break
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)


def device_folders(folder):
    return sorted(path for path in Path(folder).iterdir() if path.is_dir())


def measure(detector, device, name):
    fit, held, test = (np.load(device / f"{part}.npy") for part in ("fit", "held", "test"))
    began = time.perf_counter()
    detector.fit(fit)
    fitted = time.perf_counter()
    np.save(device / f"{name}-held.npy", np.ravel(detector.score(held, fit)))
    from_here = time.perf_counter()
    scores = np.ravel(detector.score(test, held))
    took = time.perf_counter() - from_here
    np.save(device / f"{name}-test.npy", scores)
    return {"fitSeconds": fitted - began, "scoringUs": 1e6 * took / len(test)}


class PyOD:
    """Default settings; a row stands for itself."""

    def __init__(self, name, **options):
        self.name, self.options = name, options

    def fit(self, rows):
        self.model = pyod_class(self.name)(**self.options)
        self.model.fit(rows)

    def score(self, rows, before):
        return self.model.decision_function(rows)


def pyod_class(name):
    modules = {"AutoEncoder": "auto_encoder"}
    module = __import__(f"pyod.models.{modules.get(name, name.lower())}", fromlist=[name])
    return getattr(module, name)


class PyODPCA(PyOD):
    """Its default of all components divides by their variances, which are 0 where a channel is constant: as many as the rank."""

    def fit(self, rows):
        self.options = {"n_components": int(np.linalg.matrix_rank(rows - rows.mean(axis=0)))}
        super().fit(rows)


class TsbCnn:
    """TSB-AD's CNN with the settings that its authors chose for data of many channels."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, rows):
        import torch
        from TSB_AD.HP_list import Optimal_Multi_algo_HP_dict
        from TSB_AD.models.CNN import CNN

        torch.manual_seed(self.seed)
        self.settings = Optimal_Multi_algo_HP_dict["CNN"]
        self.model = CNN(**self.settings, feats=rows.shape[1], batch_size=128)
        self.model.fit(rows)

    def score(self, rows, before):
        # The forecast of the first row needs a window before it.
        window = before[-self.settings["window_size"] :]
        return self.model.decision_function(np.concatenate([window, rows]))[len(window) :]


class MerlionIForest:
    """Differences of two rows in a forest, as Merlion does by default; its scores before they are calibrated."""

    def fit(self, rows):
        from merlion.models.anomaly.isolation_forest import IsolationForest, IsolationForestConfig

        self.model = IsolationForest(IsolationForestConfig(n_jobs=1))
        self.model.train(in_time(rows, 0), post_rule_train_config=None)

    def score(self, rows, before):
        at = len(before)
        found = self.model.get_anomaly_score(in_time(rows, at), in_time(before, 0))
        return found.to_pd().reindex(in_time(rows, at).to_pd().index).ffill().bfill().to_numpy()


def in_time(rows, first):
    import pandas as pd
    from merlion.utils import TimeSeries

    index = pd.date_range("2000-01-01", periods=first + len(rows), freq="min")[first:]
    return TimeSeries.from_pd(pd.DataFrame(rows, index=index))


# Peer -> how it is made, and whether chance has a part in it. AutoEncoder needs PyTorch, which comes with TSB-AD.
LIBRARIES = {
    "pyod": (
        "pyod",
        {
            "PyOD IForest": (lambda seed: PyOD("IForest", random_state=seed), True),
            "PyOD LOF": (lambda seed: PyOD("LOF"), False),
            "PyOD HBOS": (lambda seed: PyOD("HBOS"), False),
            "PyOD ECOD": (lambda seed: PyOD("ECOD"), False),
            "PyOD PCA": (lambda seed: PyODPCA("PCA"), False),
            "PyOD KNN": (lambda seed: PyOD("KNN"), False),
        },
    ),
    "tsb-ad": (
        "TSB_AD",
        {
            "PyOD AutoEncoder": (lambda seed: PyOD("AutoEncoder", random_state=seed, verbose=0), True),
            "TSB-AD CNN": (TsbCnn, True),
        },
    ),
    "merlion": ("salesforce-merlion", {"Merlion IForest": (lambda seed: MerlionIForest(), False)}),
}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(seed) for seed in sys.argv[3].split(",")], int(sys.argv[4]))
