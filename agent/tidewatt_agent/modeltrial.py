"""A forecast model that came by MQTT is tried in a process of its own first: it may be built to take all
memory or all time, or to bring down what reads it, and the agent must live to refuse it.
"""

import os
import resource
import signal
import subprocess
import sys

#: Address space of the trial; onnxruntime and a model of 16 MB take less than half of it.
MOST_BYTES = 2 * 1024**3
#: Seconds of processor time, ten times what a slow board takes; and of waiting.
MOST_CPU_S = 20
PATIENCE_S = 60.0
LONGEST_SENTENCE = 500


def why_not(content: bytes, name: str) -> str:
    """Why this model isn't to be used, in a sentence; empty if it gave a forecast."""
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, name],
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{name}: its trial had no end within {PATIENCE_S:.0f} s"
    except OSError as error:
        return f"{name}: it can't be tried: {error.strerror}"
    if done.returncode == 0:
        return ""
    said = done.stdout.decode("utf-8", "replace").strip()
    return said[:LONGEST_SENTENCE] or f"{name}: its trial ended by {_end(done.returncode)}"


def _end(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit {code}"


def main() -> int:
    """The trial: the model on standard input, what is wrong with it on standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    content, name = sys.stdin.buffer.read(), sys.argv[1]
    try:
        # Under the limits, and in this process alone.
        from tidewatt_governor.forecast.layout import AHEAD, LAGS, PAST  # noqa: PLC0415
        from tidewatt_governor.forecast.model import Model  # noqa: PLC0415
    except ImportError:
        return 0  # who would use it says what is missing
    try:
        Model(content, name=name)([[10.0] * (PAST + AHEAD)] * (1 + len(LAGS)), [0.0, 1.0, 0.0])
    except (ValueError, MemoryError) as error:
        sys.stdout.write(str(error) or f"{name}: it takes more memory than a board has")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
