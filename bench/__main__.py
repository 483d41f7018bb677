"""`python -m bench [NAME ...]`: run the benchmarks, print their ratios, write results/latest.json."""

import sys

from bench import (
    collector_loop,
    deliveries,
    folder_download,
    graph_latency,
    graph_sdk,
    graph_stream,
    listing,
    memory,
    not_found,
    proxy,
    report_page,
    slow_clients,
)
from bench.harness import PeerMissing, Result, report

BENCHMARKS = {
    "folder_download": folder_download.run,
    "memory": memory.run,
    "slow_clients": slow_clients.run,
    "proxy": proxy.run,
    "not_found": not_found.run,
    "graph_stream": graph_stream.run,
    "graph_stream_pyreqwest": graph_stream.run_pyreqwest,
    "graph_sdk": graph_sdk.run,
    "graph_latency": graph_latency.run,
    "listing": listing.run,
    "report_page": report_page.run,
    "collector_loop": collector_loop.run,
    "deliveries": deliveries.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}. There are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    results: list[Result] = []
    left_out = 0
    for name in names or BENCHMARKS:
        print(f"· {name}", file=sys.stderr, flush=True)
        try:
            results += BENCHMARKS[name]()
        except PeerMissing as missing:
            left_out += 1
            print(f"  left out: {missing}", file=sys.stderr)
    report(results)
    return 1 if left_out else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
