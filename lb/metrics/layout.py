"""What stands where on a scoreboard: 64-bit cells, in one head for each slot and one region for each.

A region has rows of cells; each row is one server, but for the first ones. A latency histogram lies in a row
once for each status class, so that one addition counts a request, its status and its latency.
"""

from __future__ import annotations

#: Another layout gets another number: who finds one that it does not know leaves it alone.
LAYOUT = 1

CELL_BYTES = 8
SLOTS = 1024  # workers of one host at the same time, those that retire included

# --- the front: run and host as text, then how many slots were ever granted, then the heads

FRONT_BYTES = 4096
TEXT_BYTES = 512
GRANTED = TEXT_BYTES // CELL_BYTES  # a cell of the front

HEAD_CELLS = 8
PID, CLIENTS, ACCEPTED, DEGRADED, NAMED_ROWS, ACCEPTING, MAX_CLIENTS = range(7)

# --- a region: names of rows, then the rows

ROWS = 1024
NAME_BYTES = 272  # a length of two bytes, then the name
LONGEST_NAME = NAME_BYTES - 2
NAMES_BYTES = ROWS * NAME_BYTES

BUCKETS = 16
CLASSES = 10  # of statuses: 200 is of class 2; there is none of class 0, whose place holds other figures
ROW_CELLS = CLASSES * BUCKETS
REGION_BYTES = NAMES_BYTES + ROWS * ROW_CELLS * CELL_BYTES

#: What the first rows are; those after them have a server's name each.
WORKER_ROW, OWN_ROW, OTHER_ROW, FIRST_SERVER_ROW = range(4)

# In a server's row, and in that of the balancer's own answers:
SECONDS, RETRIES, CUT, GONE, EJECTIONS = range(5)

# In the worker's row:
DEGRADED_SECONDS, TRIP_SECONDS, PICKS, CLOSED_IDLE, REFUSED = range(5)
TRIPS, BATCHES = BUCKETS, 2 * BUCKETS

#: Upper bounds of buckets, which belong to them; one more bucket takes what is above. Seconds …
LATENCY_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
TRIP_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
#: … and picks.
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
