"""The client that the public guide tells people to write (contract section 12): Flask, requests, nothing of ours.

Run as a process: BASE_URL, API_KEY, WEBHOOK_SECRET, SAVE_DIR and PORT come from the environment.
"""

import os
from pathlib import Path

import requests
from flask import Flask, Response, jsonify, request

BASE_URL = os.environ["BASE_URL"]
SAVE_DIR = Path(os.environ["SAVE_DIR"])
HEADERS = {"Authorization": f"Bearer {os.environ['API_KEY']}"}

app = Flask(__name__)


@app.post("/webhook")
def webhook() -> tuple[Response, int] | Response:
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if given != os.environ["WEBHOOK_SECRET"]:
        return jsonify({"status": "error", "message": "Unauthorized"}), 401
    payload = request.get_json()
    if payload["event"] != "received" or not payload["hasAttachments"]:
        return jsonify({"status": "success", "message": "Nothing to download."})
    saved = download_pdfs(payload["id"])
    return jsonify({"status": "success", "message": f"Saved {saved} PDF(s)."})


def download_pdfs(message_id: str) -> int:
    listing = requests.get(f"{BASE_URL}/messages/{message_id}/attachments", headers=HEADERS, timeout=30)
    listing.raise_for_status()
    saved = 0
    for attachment in listing.json()["attachments"]:
        if attachment["attachmentType"] == "fileAttachment" and attachment["contentType"] == "application/pdf":
            url = f"{BASE_URL}/messages/{message_id}/attachments/{attachment['id']}/download"
            download(url, attachment["name"])
            saved += 1
    return saved


def download(url: str, name: str) -> None:
    with requests.get(url, headers=HEADERS, timeout=300, stream=True) as answer:
        answer.raise_for_status()
        disposition = answer.headers.get("Content-Disposition", "")
        if "filename=" in disposition:
            name = disposition.split("filename=")[-1].strip('"')
        with (SAVE_DIR / name).open("wb") as file:
            for piece in answer.iter_content(chunk_size=65536):
                file.write(piece)


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]))
