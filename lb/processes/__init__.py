"""The processes of the balancer: one supervisor and, under it or alone, one process per role."""
