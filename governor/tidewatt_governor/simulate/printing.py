"""How the simulated board shows itself: tegrastats lines and the application's metrics.

The tegrastats line has the shape an Orin Nano prints under JetPack 6 as root: timestamp,
bracketed GR3D clocks, lower-case temperatures, rails in mW with "cur/average since start".
"""

from datetime import datetime, timezone

from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.simulate.board import LATENCY_BOUNDS_S, BoardState

MHZ = 1_000_000
IDLE_CPU_MHZ = 729
IDLE_GPU_MHZ = 305
#: Share of the input power that the GPU/CPU rail and the SoC rail carry beyond their idle
#: draw, and those idle draws in watts: the proportions of a captured loaded line.
CORE_RAIL = (0.45, 0.5)
SOC_RAIL = (0.1, 1.4)
CORES = 6


def tegrastats_line(
    state: BoardState, profile: BoardProfile, wall_ms: int, watts: float, average_watts: float
) -> str:
    """One line, without its newline. `watts` is the mean over the interval the line stands for."""
    caps = profile.caps[state.point]
    stamp = datetime.fromtimestamp(wall_ms / 1000.0, timezone.utc).strftime("%m-%d-%Y %H:%M:%S")
    cpu_mhz = caps.cpu // MHZ if state.use > 0.1 else IDLE_CPU_MHZ  # noqa: PLR2004 - the clocks idle
    gpu_mhz = caps.gpu // MHZ if state.use > 0.02 else IDLE_GPU_MHZ  # noqa: PLR2004
    percent = round(40.0 * state.use)
    cores = ",".join(f"{percent}%@{cpu_mhz}" if core < caps.cores else "off" for core in range(CORES))
    hot = state.temperature_c
    return (
        f"{stamp} RAM 2513/7620MB (lfb 8x4MB) SWAP 25/3810MB (cached 0MB) CPU [{cores}] "
        f"EMC_FREQ {round(60.0 * state.use)}%@{caps.emc // MHZ} "
        f"GR3D_FREQ {round(100.0 * state.use)}%@[{gpu_mhz}] "
        f"NVDEC off NVJPG off NVJPG1 off VIC off OFA off APE 200 "
        f"cpu@{hot - 0.4:.3f}C soc2@{hot - 1.2:.3f}C soc0@{hot - 1.6:.3f}C gpu@{hot - 0.1:.3f}C "
        f"tj@{hot:.3f}C soc1@{hot - 1.9:.3f}C "
        f"VDD_IN {_pair(watts, average_watts, 1.0, 0.0)} "
        f"VDD_CPU_GPU_CV {_pair(watts, average_watts, *CORE_RAIL)} "
        f"VDD_SOC {_pair(watts, average_watts, *SOC_RAIL)}"
    )


def _pair(watts: float, average: float, share: float, idle: float) -> str:
    return f"{round((watts * share + idle) * 1000)}mW/{round((average * share + idle) * 1000)}mW"


def application_metrics(state: BoardState) -> str:
    """The application's Prometheus page: a request counter and a latency histogram."""
    labels = 'service="embed",cluster="jetson"'
    lines = [
        "# HELP akidb_requests_total Requests received.",
        "# TYPE akidb_requests_total counter",
        f"akidb_requests_total{{{labels}}} {int(state.requests)}",
        "# HELP akidb_request_seconds Time to answer; requests turned away count as beyond every bound.",
        "# TYPE akidb_request_seconds histogram",
    ]
    below = 0.0
    for bound, count in zip((*LATENCY_BOUNDS_S, "+Inf"), state.latency_counts, strict=True):
        below += count
        lines.append(f'akidb_request_seconds_bucket{{{labels},le="{bound}"}} {int(below)}')
    lines += [
        f"akidb_request_seconds_sum{{{labels}}} {state.latency_sum_s:.6f}",
        f"akidb_request_seconds_count{{{labels}}} {int(below)}",
    ]
    return "\n".join(lines) + "\n"
