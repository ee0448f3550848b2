"""The berths of the harbour: who lies where, and a form to ask for one. An ordinary Bottle app."""

import json
import os
import socket
import subprocess
import time
import urllib.request

from bottle import Bottle, redirect, request, template

app = application = Bottle()

FILE = "/data/berths.json"
BERTHS = ["A1", "A2", "A3", "B1", "B2", "B3"]

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{title}}</title>
<link rel="stylesheet" href="/style.css">
<header>
<h1>{{title}}</h1>
<nav><a href="/">Lost property</a> <a href="/berths/">Berths</a> <a href="/berths/reach">What it can reach</a>
% if tides:
<span>High water {{tides["high"]}}, low water {{tides["low"]}}</span>
% end
</nav>
</header>
<main>{{!body}}</main>
"""

LIST = """
% if said:
<p class="said">{{said}}</p>
% end
<form method="post" action="/berths/">
  <h2>Ask for a berth</h2>
  <label>Boat <input name="boat" required value="{{boat}}"></label>
  <label>Berth <select name="berth">
% for name in free:
    <option>{{name}}</option>
% end
  </select></label>
  <button>Moor here</button>
</form>
<br>
<table>
  <tr><th>Berth</th><th>Boat</th><th>Since</th></tr>
% for name in names:
  <tr><td>{{name}}</td><td>{{taken.get(name, {}).get("boat", "free")}}</td><td>{{taken.get(name, {}).get("since", "")}}</td></tr>
% end
</table>
"""

REACH = """
<p>This page tries things that a program on a web server can usually do. Two of them it was granted.</p>
<table>
% for name, good, said in attempts:
  <tr class="{{"good" if good else "bad"}}"><td>{{name}}</td><td>{{"done" if good else "refused"}}</td><td>{{said}}</td></tr>
% end
</table>
"""


def load():
    try:
        with open(FILE, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def tides():
    try:
        return json.loads(fetch(os.environ["TIDES"]))
    except (OSError, KeyError, ValueError):
        return None


def page(title, body, with_tides=True):
    return template(PAGE, title=title, body=body, tides=tides() if with_tides else None)


@app.get("/berths/")
def berths():
    taken = load()
    free = [name for name in BERTHS if name not in taken]
    boat = request.get_cookie("boat", default="")
    said = request.query.getunicode("said", "")
    return page("Berths", template(LIST, names=BERTHS, free=free, taken=taken, boat=boat, said=said))


@app.post("/berths/")
def moor():
    taken, name, boat = load(), request.forms.get("berth"), request.forms.getunicode("boat", "").strip()
    if name not in BERTHS or name in taken or not boat:
        redirect("/berths/?said=That+berth+is+taken.")
    taken[name] = {"boat": boat, "since": time.strftime("%Y-%m-%d %H:%M")}
    with open(FILE, "w", encoding="utf-8") as file:
        json.dump(taken, file)
    redirect("/berths/?said=Welcome.")


def write(path):
    with open(path, "w", encoding="utf-8") as file:
        return file.write("here\n")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


ATTEMPTS = {
    "read /etc/passwd": lambda: read("/etc/passwd"),
    "list /": lambda: os.listdir("/"),
    "list /home": lambda: os.listdir("/home"),
    "read the app next door": lambda: read(os.path.join(os.path.dirname(__file__), "../lost/index.php")),
    "write into its own program": lambda: write(__file__),
    "read PATH and HOME": lambda: os.environ["PATH"] + os.environ["HOME"],
    "ask http://127.0.0.1:22/": lambda: fetch("http://127.0.0.1:22/"),
    "ask https://example.com/": lambda: fetch("https://example.com/"),
    "dial 127.0.0.1:5432": lambda: socket.create_connection(("127.0.0.1", 5432), timeout=2),
    "run a program": lambda: subprocess.run(["id"], check=True),
    "write into its folder": lambda: f"{write('/data/reached.txt')} bytes",
    "ask for the tides": lambda: fetch(os.environ["TIDES"]),
}


@app.get("/berths/reach")
def reach():
    attempts = []
    for name, action in ATTEMPTS.items():
        try:
            attempts.append((name, True, str(action()).partition("\n")[0]))
        except Exception as error:
            attempts.append((name, False, f"{type(error).__name__}: {error}"))
    return page("What it can reach", template(REACH, attempts=attempts), with_tides=False)
