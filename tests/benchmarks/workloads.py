"""What is asked of the balancers: one entry per kind of traffic."""

from __future__ import annotations

from dataclasses import dataclass

_CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
_SHOP_COOKIES = "consent=necessary.statistics; basket=1042.1077.2210.2391; seen=20417.20418.20733.21190.22005"

#: About 700 bytes, as a browser sends them.
_BROWSER_HEADERS = (
    f"User-Agent: {_CHROME}",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.7",
    "Accept-Encoding: gzip, deflate, br",
    "Referer: https://shop.example.com/catalogue/shoes?page=3&sort=price",
    f"Cookie: session=7f0c2d4e9a5b4c1d8e6f3a2b1c0d9e8f; theme=dark; {_SHOP_COOKIES}",
    "Cache-Control: max-age=0",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
)


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of traffic, always from a single thread of wrk."""

    name: str
    title: str
    connections: int  # open at the same time
    path: str = "/tiny"
    headers: tuple[str, ...] = ()
    sent_bytes: int = 0  # body of each request; with any the method is POST
    served_bytes: int = 0  # body of each answer; 0 is the origin's tiny one
    per_mib: bool = False  # count CPU per MiB passed on, not per request

    @property
    def method(self) -> str:
        return "POST" if self.sent_bytes else "GET"


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("tiny", "tiny GET, 64 keep-alive connections", 64),
        Workload(
            "browser",
            "tiny GET with a browser's headers, 64 keep-alive connections",
            64,
            headers=_BROWSER_HEADERS,
        ),
        Workload(
            "connections",
            "tiny GET, each on a new connection, 32 at once",
            32,
            headers=("Connection: close",),
        ),
        Workload("100k", "GET of 100 KiB, 16 keep-alive connections", 16, "/100k", served_bytes=100 << 10),
        Workload(
            "10m", "GET of 10 MiB, 8 keep-alive connections", 8, "/10m", served_bytes=10 << 20, per_mib=True
        ),
        Workload("post16k", "POST of 16 KiB, 32 keep-alive connections", 32, "/post", sent_bytes=16 << 10),
        Workload("single", "tiny GET, one keep-alive connection", 1),
    )
}
