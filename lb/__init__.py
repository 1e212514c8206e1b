"""lb: a multi-process HTTP load balancer whose workers act as one."""

__version__ = "0.1.0"
