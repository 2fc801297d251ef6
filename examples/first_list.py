"""Events to a server and a list back. Run it: python examples/first_list.py http://127.0.0.1:8000 [KEY]"""

import sys

from everbrook.client import Client
from everbrook.errors import EverbrookError

url, key = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None

with Client(url, key) as shop:
    shop.put_items([{"id": f"book-{n}", "title": f"Book {n}", "categories": ["books"]} for n in range(5)])
    receipt = shop.ingest([{"user": f"reader-{n % 3}", "item": f"book-{n % 5}", "kind": "view"} for n in range(15)])
    print(f"{receipt.accepted} events are on disk and in the next list.")
    shown = shop.recommend(user="reader-1", k=3)
    for place in shown.items:
        print(f"{place.title}: {place.score:.3f}")
    shop.ingest([{"user": "reader-1", "item": shown.items[0].id, "kind": "view", "request": shown.request}])
    try:
        shop.recommend(user="reader-1", scenario="nowhere")
    except EverbrookError as error:
        print(f"{error.type}: {error.message}")
