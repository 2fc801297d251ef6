"""Events to a server and a list back. Run it: python examples/first_list.py http://127.0.0.1:8000 [KEY]"""

import contextlib
import sys

from everbrook.client import Client
from everbrook.errors import EverbrookError

url, key = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None

with Client(url, key) as shop:
    shop.put_items([{"id": f"book-{n}", "title": f"Book {n}", "categories": ["books"]} for n in range(5)])
    receipt = shop.ingest([{"user": f"reader-{n % 3}", "item": f"book-{n % 5}", "kind": "view"} for n in range(15)])
    shown = shop.recommend(user="reader-1", k=3)
    for _place in shown.items:
        pass
    shop.ingest([{"user": "reader-1", "item": shown.items[0].id, "kind": "view", "request": shown.request}])
    with contextlib.suppress(EverbrookError):
        shop.recommend(user="reader-1", scenario="nowhere")
