#!/usr/bin/env python3
"""A lab's software in one file, from the sign-in to the unzipped case, against the simulator.

    cargo run --example simulator -- --cases 0 --pace 0
    pip install requests
    python3 examples/python/walkthrough.py

What is under /_simulator is the simulator's own: there the doctor, the lab's people in the portal
and Align's modelers are played. Everything else is what your software calls.
"""

import argparse
import http.server
import io
import json
import queue
import secrets
import sys
import threading
import time
import urllib.parse
import zipfile

import requests

CLIENT = ("simulator", "simulator-secret")
REDIRECT = "https://lab.example/callback"


class Service:
    """The Lab Connector API, as far as this walk needs it."""

    def __init__(self, base):
        self.http = requests.Session()
        found = self.http.get(f"{base}/discovery", timeout=10)
        found.raise_for_status()
        self.endpoints = found.json()["endpoints"]
        self.tokens = None

    def url(self, operation, **ids):
        template = self.endpoints[operation]["url"]
        return template.format(**{name: urllib.parse.quote(value, safe="") for name, value in ids.items()})

    def call(self, operation, token=None, url=None, **parts):
        """One call. A 401 is answered by one refresh, a 503 by waiting as long as is asked."""
        ids = parts.pop("ids", {})
        method = self.endpoints[operation]["method"]
        for attempt in range(3):
            bearer = token or self.tokens["access_token"]
            answer = self.http.request(
                method,
                url or self.url(operation, **ids),
                headers={"authorization": f"Bearer {bearer}"},
                timeout=10,
                **parts,
            )
            if answer.status_code == 401 and attempt == 0 and token is None:
                self.refresh()
            elif answer.status_code == 503:
                time.sleep(float(answer.headers.get("retry-after", "1")))
            else:
                break
        answer.raise_for_status()
        return answer

    def token(self, **form):
        answer = self.http.post(self.url("get_token"), data=form, auth=CLIENT, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def refresh(self):
        # The old refresh token is used up by this: the new one must be stored before it is used.
        self.tokens = self.token(grant_type="refresh_token", refresh_token=self.tokens["refresh_token"])


class People:
    """The simulator's control API."""

    def __init__(self, base):
        self.base = f"{base}/_simulator"

    def get(self, path, **query):
        answer = requests.get(self.base + path, params=query, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def post(self, path, body=None):
        answer = requests.post(self.base + path, json=body, timeout=10)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def put(self, path, body):
        requests.put(self.base + path, json=body, timeout=10).raise_for_status()

    def act(self, order, action):
        return self.post(f"/cases/{order}/{action}")


def listener():
    """Where notifications are posted to; what came is put into a queue."""
    came = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            came.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return came, f"http://127.0.0.1:{server.server_port}/itero"


def sign_in(service, people):
    """What a browser does; a test has no browser, so the simulator's consent stands in for it."""
    state = secrets.token_urlsafe()
    query = {"response_type": "code", "client_id": CLIENT[0], "redirect_uri": REDIRECT, "state": state}
    page = service.url("authorization") + "?" + urllib.parse.urlencode(query)
    back = people.post("/consent", {"url": page})["redirect"]
    answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
    assert answer["state"] == state, "somebody else's answer"
    return service.token(grant_type="authorization_code", code=answer["code"], redirect_uri=REDIRECT)


def download(service, order):
    """All files of an order, thumbnails first: when its zip is fetched the order is Downloaded."""
    contents = {}
    for asset in sorted(order["assets"], key=lambda asset: asset["type"] == "IDE"):
        answer = service.call("download_asset", url=asset["url"])
        if "size" in asset:
            assert len(answer.content) == asset["size"], "half a file"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None, "a broken file"
            contents[asset["type"]] = archive.namelist()
    return contents


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--base", default="http://127.0.0.1:8040", help="where the simulator is")
    base = arguments.parse_args().base.rstrip("/")
    service, people = Service(base), People(base)
    people.post("/reset")

    login = sign_in(service, people)
    accounts = service.call("get_accounts", token=login["access_token"]).json()["accounts"]
    lab = accounts[0]["accountId"]
    print(f"signed in; the login may act for {', '.join(account['name'] for account in accounts)}")

    came, hook = listener()
    paired = service.call("pair", token=login["access_token"], ids={"account_id": lab}, json={"notificationUrl": hook})
    service.tokens = paired.json()
    print(f"paired with {lab}")

    def fetch(notification):
        """A notification says that there is something, never what: fetch it."""
        ids = {"account_id": lab, "rx_id": notification["rxId"]}
        return service.call("get_order_by_rx_id", ids=ids).json()

    case = people.post(f"/labs/{lab}/scan")
    order = fetch(came.get(timeout=10))
    assert (order["orderId"], order["status"]) == (case["orderId"], "Ready for Download")
    files = download(service, order)
    mesh = next(name for name in files["IDE"] if name.endswith("UpperJaw.stl") and "__MACOSX" not in name)
    print(f"{order['orderId']}: {order['status']}; {len(files['IDE'])} files in the zip, such as {mesh}")
    assert service.call("get_orders", ids={"account_id": lab}).json()["orders"] == [], "it is still listed"

    # The same order comes again, as another piece of work.
    for action in ("request_milling", "finish_modeling"):
        case = people.act(order["orderId"], action)
    again = fetch(came.get(timeout=10))
    assert (again["orderId"], again["status"]) == (order["orderId"], "Lab Review")
    print(f"{again['orderId']}: {again['status']}; it can be scenario {case['reading']['candidates']}")
    download(service, again)

    # Nobody tells of milling: ask for the order now and then.
    shown = []
    for action in ("proceed", "finish_milling", "ship"):
        people.act(order["orderId"], action)
        shown.append(fetch(again)["status"])
    assert shown == ["iTero Milling", "Ready to Ship", "Downloaded"]
    print(f"{again['orderId']}: {', '.join(shown)}")

    # What cannot be done is refused, with the reason.
    refused = requests.post(f"{base}/_simulator/cases/{order['orderId']}/ship", timeout=10)
    assert refused.status_code == 409
    print(f"refused: {refused.json()['detail']}")

    # An hour later the access token has ended, and the next call refreshes it.
    before = service.tokens["access_token"]
    people.post("/clock/advance", {"seconds": 3600})
    service.call("get_orders", ids={"account_id": lab})
    assert service.tokens["access_token"] != before
    print("after an hour: refreshed")

    # A bad day of the service.
    fault = {"status": {"code": 503, "retry_after": 1}}
    people.put("/faults", {"rules": [{"operations": ["get_orders"], "calls": [1], "fault": fault}]})
    service.call("get_orders", ids={"account_id": lab})
    seen = [call["status"] for call in people.get("/calls", operation="get_orders")["calls"]]
    assert seen[-2:] == [503, 200], seen
    people.put("/faults", {})
    print(f"Get Orders was answered with {seen}")
    print("done")


if __name__ == "__main__":
    sys.exit(main())
