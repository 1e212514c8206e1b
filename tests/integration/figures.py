"""What `/metrics` of a running balancer says."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from typing import TypeAlias

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.balancer import Balancer

#: Name and labels of a sample → its value.
Samples: TypeAlias = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(balancer: Balancer, kinds: tuple[str, ...] = ("counter", "histogram", "gauge")) -> Samples:
    """Read all samples of such metrics."""
    with urllib.request.urlopen(f"{balancer.admin_url}/metrics", timeout=30) as response:
        text = response.read().decode()
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        if family.type in kinds
        for sample in family.samples
    }


def total(balancer: Balancer, name: str, **labels: str) -> float:
    """Add up the samples of a name that have these labels."""
    return sum(
        value
        for (found, has), value in scrape(balancer).items()
        if found == name and labels.items() <= dict(has).items()
    )


def answered(balancer: Balancer) -> float:
    """Return the requests that were answered well, by all hosts and ever."""
    return total(balancer, "lb_requests_total", code="2xx")
