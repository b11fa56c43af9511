"""Evidently's own page inside of a drift report: opened when it is asked for, in a sandboxed frame, without a network.

Its library and its fonts are nearly all of it, and the same in every report: a store has them once, in `assets/`, as a
script that does nothing but name those texts. A report has the rest, compressed.

A frame inherits the policy of its page, which allows the page's script, exactly those of Evidently's template, by their
hashes, and files of where the page comes from ('self'): of a page that is opened as a file, browsers check hashes of
inline scripts only. The frame has a policy of its own besides, by which nothing runs in it but Evidently's scripts.
"""

import base64
import gzip
import hashlib
import json
import re
from html import escape
from pathlib import Path
from typing import NamedTuple

import strandline_contract as contract
from strandline.html.document import hashes

ASSETS = "assets"  # folder of the store
SCRIPTS = 4  # of Evidently's template: data, a global name, the library, the call that draws
LARGEST = 8_000_000  # bytes of Evidently's page
# Evidently's page takes a second to draw, and draws itself too small in a frame that is not shown.
OPEN = """
document.querySelector("details").addEventListener("toggle", event => {
  const frame = event.target.querySelector("iframe"), library = document.createElement("script");
  library.onload = async () => {
    const packed = Uint8Array.from(atob(frame.dataset.page), character => character.charCodeAt(0));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    let page = await new Response(unpacked).text();
    evidentlyShared.forEach((text, number) => { page = page.replace(`@shared-${number}@`, () => text); });
    frame.srcdoc = page;
  };
  library.onerror = () => { event.target.querySelector(".missing").hidden = false; };
  library.src = frame.dataset.library;
  document.head.append(library);
}, {once: true});
"""


class Parts(NamedTuple):
    """Evidently's page taken apart: its scripts, what is of this page alone, and what all share, as a file."""

    scripts: list[str]
    own: str
    name: str
    shared: bytes


def take_apart(html: str) -> Parts | None:
    """None if the page is too large, or has other scripts than Evidently's template."""
    scripts = re.findall(r"<script>(.*?)</script", html, re.DOTALL | re.IGNORECASE)
    closed = len(re.findall(r"</script", html, re.IGNORECASE))
    if not len(scripts) == closed == SCRIPTS or len(html.encode()) > LARGEST or html.count("<head>") != 1:
        return None
    allowed = f"script-src {hashes(scripts)}"
    html = html.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{allowed}">', 1)
    texts = [*re.findall(r"<style>(.*?)</style>", html, re.DOTALL)[:1], max(scripts[1:], key=len)]
    for number, text in enumerate(texts):
        html = html.replace(text, f"@shared-{number}@", 1)
    shared = f"evidentlyShared = {json.dumps(texts)};\n".encode()
    return Parts(scripts, html, f"evidently-{hashlib.sha256(shared).hexdigest()}.js", shared)


def section(parts: Parts | None, to_store: str) -> str:
    """HTML of the frame, closed. `to_store` is the path from the page to the store."""
    if parts is None:
        return "<h2>Evidently</h2>\n<p>Evidently's page is too large, or not as expected: it is left out here.</p>"
    packed = base64.b64encode(gzip.compress(parts.own.encode(), mtime=0)).decode()
    library = escape(f"{to_store}/{ASSETS}/{parts.name}")
    return f"""<h2>Evidently</h2>
<details class="card"><summary>Open Evidently's report</summary>
<p class="soft">A closer look at the distributions of the table above. Evidently calls drift what reaches a
threshold, and dataset drift if half of the columns do, whatever chance may do: neither is our verdict.</p>
<p class="missing" hidden>It cannot be shown: the file <code>{library}</code>, which all reports share, is not where
this page looks for it. A report can be moved together with its store, or be read where it is.</p>
<div class="frame"><iframe title="Evidently's report" sandbox="allow-scripts" data-page="{packed}"
 data-library="{library}"></iframe></div>
</details>
<script>{OPEN}</script>"""


def write_shared(html: str, store: Path) -> None:
    """Write the file that the frame of this page needs, unless the store has it, whole."""
    parts = take_apart(html)
    if parts is None:
        return
    path = store / ASSETS / parts.name
    if not path.is_file() or f"evidently-{contract.sha256_file(path)}.js" != parts.name:
        path.parent.mkdir(parents=True, exist_ok=True)
        contract.write_whole(path, parts.shared)
