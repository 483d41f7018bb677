"""1 GiB from a local mail folder through the gateway, beside nginx serving the decoded file; curl reads both."""

import subprocess
from pathlib import Path

from bench.harness import MIB, Result, best, more_is_better, peer_program, process, wait_for, work_folder
from bench.setting import deliver_file, message_ids, only_attachment, quiet_stack
from satchel.testing.stack import free_port

SIZE = 1024 * MIB
TIMES = 3

NGINX = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""


def curl(url: str, *, api_key: str = "", output: str = "/dev/null") -> None:
    """Read a URL as fast as curl can; a failure or a short body ends the benchmark."""
    authorization = ["-H", f"Authorization: Bearer {api_key}"] if api_key else []
    subprocess.run(["curl", "--fail", "--silent", "--show-error", "-o", output, *authorization, url], check=True)


def nginx(folder: Path, port: int) -> list[str]:
    """The command that serves `<folder>/www`."""
    program = peer_program("nginx", "nginx-light")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder.resolve(), port=port))
    return [program, "-c", str((folder / "nginx.conf").resolve()), "-e", str((folder / "nginx.log").resolve())]


def run() -> list[Result]:
    with work_folder("folder_download") as folder, quiet_stack(folder) as stack:
        deliver_file(stack, SIZE)
        stack.start("gateway")
        [message_id] = message_ids(stack, 1)
        url = stack.gateway_url + only_attachment(stack, message_id)
        (folder / "www").mkdir()
        curl(url, api_key=stack.api_key, output=str(folder / "www/file"))
        port = free_port()
        with process(nginx(folder, port), folder):
            peer_url = f"http://127.0.0.1:{port}/file"
            wait_for(port)
            theirs = best(lambda: curl(peer_url), TIMES)
            ours = best(lambda: curl(url, api_key=stack.api_key), TIMES)
    rate = SIZE / MIB
    return [more_is_better("folder_download", rate / ours, rate / theirs, "nginx, decoded file", "MiB/s")]
