"""Health checks: what is asked of a server, how answers become up or down, and who asks."""
