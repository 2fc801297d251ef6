"""Many events from an event loop, gathered into batches. Run it: python examples/many_events.py URL [KEY]"""

import asyncio
import random
import sys

from everbrook.client import AsyncClient


async def main(url: str, key: str | None) -> None:
    """A thousand visits, told as they happen; then what they made of the lists."""
    rng = random.Random(0)
    async with AsyncClient(url, key) as shop:
        async with shop.batch(count=200, every_s=0.5) as visits:
            for n in range(1000):
                visits.add({"session": f"visit-{n // 5}", "item": f"song-{int(rng.expovariate(0.1))}", "kind": "play"})
                await asyncio.sleep(0)
        print(f"{visits.sent} events sent.")
        lists = await asyncio.gather(*(shop.recommend(session=f"visit-{n}", k=3) for n in range(10)))
        print("For visit 0:", [place.id for place in lists[0].items])
        print("Learned up to offset", (await shop.status())["offset"])


asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
