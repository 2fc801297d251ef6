"""A recommender inside a program: no server, one directory. Run it: python examples/library.py"""

import tempfile

from everbrook import Recommender

ITEMS = [
    {"id": "boots", "title": "Walking boots", "categories": ["shoes"], "properties": {"price": 89}},
    {"id": "socks", "title": "Woollen socks", "categories": ["clothes"], "properties": {"price": 12}},
    {"id": "tent", "title": "Tent for two", "categories": ["camping"], "properties": {"price": 210}},
]
VISITS = [("ada", "boots"), ("ada", "socks"), ("ben", "boots"), ("ben", "socks"), ("cleo", "tent"), ("dan", "boots")]

with tempfile.TemporaryDirectory() as folder, Recommender.open(f"{folder}/shop") as shop:
    shop.put_items(ITEMS)
    shop.ingest([{"user": user, "item": item, "kind": "view"} for user, item in VISITS])
    shown = shop.recommend(user="dan", k=2)
    for place in shown.items:
        why = place.reasons[0].text if place.reasons else ""
        print(f"{place.title}: {place.score:.2f} {why}")
    print("known of dan:", shop.user("dan")["events"])
    print("forgotten:", shop.delete_user("dan")["removed"]["events"], "event")
