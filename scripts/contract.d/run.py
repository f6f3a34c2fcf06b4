"""Runs schemathesis over openapi.yaml, as it is served: all operations with good credentials, and
Un Pair last, as it ends them."""

import subprocess
import sys

import requests

BASE, SCHEMATHESIS, WORK = sys.argv[1:]
CLIENT = ("simulator", "simulator-secret")
REDIRECT = "https://lab.example/callback"
CONFIG = """
[auth.openapi.client]
username = "simulator"
password = "simulator-secret"

[auth.openapi.login]
bearer = "{login}"

[auth.openapi.lab]
bearer = "{lab}"

# Codes, tokens and ids that fit the schema and that nobody has given are refused with 400.
[[operations]]
include-operation-id = ["get_token", "create_new_order", "create_new_order_by_rx"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401"]
"""


def control(path, body=None):
    answer = requests.post(f"{BASE}/_simulator{path}", json=body, timeout=10)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def tokens():
    """Of a login and of its lab, for a case that waits there."""
    control("/reset")
    case = control("/labs/L-1/scan")
    assert case["orderId"] == "100000001", "the examples of openapi.yaml name another case"
    page = f"{BASE}/oauth/authorize?response_type=code&client_id=simulator&redirect_uri={REDIRECT}"
    code = control("/consent", {"url": page})["redirect"].split("code=")[1]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    login = requests.post(f"{BASE}/oauth/token", data=form, auth=CLIENT, timeout=10).json()["access_token"]
    bearer = {"authorization": f"Bearer {login}"}
    lab = requests.post(f"{BASE}/accounts/L-1/pair", headers=bearer, timeout=10).json()["access_token"]
    return {"login": login, "lab": lab}


def run(*chosen):
    with open(f"{WORK}/schemathesis.toml", "w") as config:
        config.write(CONFIG.format(**tokens()))
    command = [
        SCHEMATHESIS, "--config-file", f"{WORK}/schemathesis.toml", "run", f"{BASE}/openapi.yaml",
        "--url", BASE, "--seed", "20260314", "--max-examples", "60", "--checks", "all",
        # Its answer to a token that has ended cannot be told from one to a token that never was.
        "--phases", "examples,coverage,fuzzing", "--no-color", *chosen,
    ]
    return subprocess.run(command, check=False).returncode


sys.exit(run("--exclude-operation-id", "unpair") or run("--include-operation-id", "unpair"))
